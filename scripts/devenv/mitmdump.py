"""mitmproxy's own `mitmdump`, by a name that `forkserver.py` can fork."""

import sys

from mitmproxy.tools.main import mitmdump

if __name__ == "__main__":
    sys.exit(mitmdump())
