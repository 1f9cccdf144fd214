"""Pure decisions: no mitmproxy, no clock, no I/O. Functions that depend on the time take `now` (Unix seconds)."""
