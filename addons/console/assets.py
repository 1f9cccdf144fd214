"""Files that pages load: the console's own scripts and styles, and asciinema-player where it has been fetched."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from fastapi import Request
from fastapi.responses import HTMLResponse, Response

from addons.console import html

PLAYER = "asciinema-player"
PLAYER_VERSION = "3.18.0"
"""As `scripts/devenv/locks/npm.lock` pins it."""
_TYPES = {".js": "text/javascript", ".css": "text/css"}
_OWN = ("timeline.js", "live.js", "session.css")
_PLAYER_FILES = (f"{PLAYER}.min.js", f"{PLAYER}.css")
_DIGITS = 16

STYLE_POLICY = html.HEADERS["Content-Security-Policy"].replace("style-src ", "style-src 'self' ")
SESSION_POLICY = f"{STYLE_POLICY}; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'"
"""Of pages with a player, whose terminal is WebAssembly: no script but files of the console's own."""
LIVE_POLICY = f"{STYLE_POLICY}; script-src 'self'; connect-src 'self'"


def page(content: str, policy: str, status: int = 200) -> Response:
    """A page that loads files, as far as a policy lets it."""
    return HTMLResponse(content, status, headers={**html.HEADERS, "Content-Security-Policy": policy})


def player_there() -> bool:
    """True if all of asciinema-player is there."""
    return all(_folder(name) is not None for name in _PLAYER_FILES)


def address(base: str, name: str) -> str:
    """Where a file is, whatever it holds now; browsers keep it."""
    found = _content(name)
    return f"{base}/static/{found[0] if found else '-'}/{name}"


async def static(request: Request) -> Response:
    """A file that a page has named."""
    name = str(request.path_params["name"])
    found = _content(name) if name in (*_OWN, *_PLAYER_FILES) else None
    if found is None or request.path_params["digest"] != found[0]:
        return Response("There is no such file.", 404)
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Cross-Origin-Resource-Policy": "same-origin"}
    return Response(found[1], media_type=_TYPES[Path(name).suffix], headers=headers)


def _content(name: str) -> tuple[str, bytes] | None:
    """Digest and content."""
    folder = _folder(name)
    return None if folder is None else _read(folder / name)


@lru_cache(maxsize=8)
def _read(file: Path) -> tuple[str, bytes]:
    content = file.read_bytes()
    return hashlib.sha256(content).hexdigest()[:_DIGITS], content


def _folder(name: str) -> Path | None:
    """A wheel has the player inside; in the repository it is in the cache, where the bootstrap puts it."""
    here = Path(__file__).parent
    places = [here / "static", here / "player", _cache(os.environ) / "npm" / f"{PLAYER}-{PLAYER_VERSION}/dist/bundle"]
    return next((place for place in places if (place / name).is_file()), None)


def _cache(environment: Mapping[str, str]) -> Path:
    if cache := environment.get("CHAPERONE_CACHE"):
        return Path(cache)
    home = environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME", "/nonexistent")) / ".cache"
    return Path(home) / "chaperone"
