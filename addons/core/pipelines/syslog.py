"""Syslog messages (RFC 5424) and how they follow each other on a stream (octet counting: RFC 6587, 3.4.1; RFC 5425)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from addons.core.alert import Fired
from addons.core.pipelines.known import PRODUCT, VERSION, Known

APP_NAME = "chaperone"
MAX_DATAGRAM = 60_000
"""Bytes of a message over UDP, whose datagrams hold 65,507 at most (IPv4)."""
_NIL = "-"
_NOT_NAME = re.compile(r"[^!-~]")
_NOT_SD_NAME = re.compile(r'[^!-~]|[= \]"]')
_ALERT, _ERROR, _WARNING, _NOTICE, _INFORMATIONAL = 1, 3, 4, 5, 6
_SEVERITIES = {"low": _NOTICE, "medium": _WARNING, "high": _ERROR, "critical": _ALERT}
_MAX_SEQUENCE = 2_147_483_647
_KEPT = 1024
"""Characters that are kept of each text of a message that would not fit in a datagram."""


def severity(known: Known, alert: Fired | None) -> int:
    """0 to 7, source: RFC 5424, table 2."""
    if alert is not None:
        return _SEVERITIES[alert.severity]
    if known.stage == "Panic":
        return _ERROR
    return _NOTICE if known.notes.get("decision") in ("deny", "refuse", "warn") else _INFORMATIONAL


def message(
    *, facility: int, severity: int, at: str, host: str, kind: str, sequence: int, document: Mapping[str, Any]
) -> bytes:
    """One message, its text the document in JSON, in ASCII alone: no receiver can read it in another encoding.

    `at` is RFC 3339 with at most microseconds; `kind` becomes the MSGID, `sequence` counts the messages of a sender.
    """
    data = structured("origin", {"software": PRODUCT, "swVersion": VERSION})
    data += structured("meta", {"sequenceId": str(1 + (sequence - 1) % _MAX_SEQUENCE)})
    header = f"<{facility * 8 + severity}>1 {at or _NIL} {_name(host, 255)} {APP_NAME} {_NIL} {_name(kind, 32)} {data}"
    return f"{header} {json.dumps(document, separators=(',', ':'))}".encode("ascii")


def structured(name: str, parameters: Mapping[str, str]) -> str:
    """An SD-ELEMENT, source: RFC 5424, section 6.3."""
    values = "".join(f' {_sd_name(key)}="{_escaped(value)}"' for key, value in parameters.items())
    return f"[{_sd_name(name)}{values}]"


def framed(messages: Iterable[bytes]) -> bytes:
    """Messages as they are written to a stream."""
    return b"".join(b"%d %b" % (len(each), each) for each in messages)


def shortened(value: Any) -> Any:
    """A document with every text cut to what lets it fit in a datagram, and said to be."""
    match value:
        case str() if len(value) > _KEPT:
            return f"{value[:_KEPT]}… {len(value) - _KEPT} more characters"
        case dict():
            return {name: shortened(item) for name, item in value.items()}
        case list():
            return [shortened(item) for item in value[:100]]
    return value


def _name(text: str, longest: int) -> str:
    return _NOT_NAME.sub("_", text)[:longest] or _NIL


def _sd_name(text: str) -> str:
    return _NOT_SD_NAME.sub("_", text)[:32] or "_"


def _escaped(text: str) -> str:
    return re.sub(r'(["\\\]])', r"\\\1", text.encode("utf-8", "replace").decode())
