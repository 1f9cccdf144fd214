"""The URL of a store in PostgreSQL: what may be in it, so that what goes there stays between the two ends.

Anything else (another kind of database, a password in a file that is read by many, a server that is taken at its word)
is a mistake that stops the start.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit

_SCHEMES = ("postgresql", "postgres")
_LOCAL = ("", "localhost", "127.0.0.1", "::1")
_VERIFIED = "verify-full"
_FILES = ("sslrootcert", "sslcert", "sslkey")
_QUERY = frozenset({*_FILES, "sslmode", "host", "application_name", "channel_binding", "target_session_attrs"})
"""Of libpq's parameters. `options` could undo the time limits; `service` and `hostaddr` name other servers."""


def problems(url: str) -> Iterator[str]:
    """What is wrong with it, in words for whoever wrote it; nothing of the password is repeated."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        yield f"cannot be read: {error}"
        return
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.scheme not in _SCHEMES or len(parts.path) < 2:
        yield "must be postgresql://USER@HOST/DATABASE; left out, the store is a file in the state folder"
    if parts.password is not None:
        yield "has a password in it: put that into a file, and name it in store_password_file"
    if "," in parts.netloc or len(parse_qsl(parts.query)) != len(query):
        yield "names several servers: name one address that leads to the one that can be written to"
    for key in sorted(query.keys() - _QUERY):
        yield f"{key} cannot be set here; these can: {', '.join(sorted(_QUERY))}"
    for key in _FILES:
        if query.get(key, "/")[:1] != "/" and (key, query[key]) != ("sslrootcert", "system"):
            yield f"{key} must be an absolute path"
    if not _stays_here(parts, query) and query.get("sslmode", _VERIFIED) != _VERIFIED:
        yield f"sslmode must be {_VERIFIED}: with any other, whoever is on the way can be the server"


def with_driver(url: str) -> str:
    """A URL without problems as SQLAlchemy takes it; a server elsewhere is verified."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if not _stays_here(parts, query):
        query["sslmode"] = _VERIFIED
    written = "&".join(f"{key}={quote(value, safe='')}" for key, value in query.items())
    return f"postgresql+psycopg://{parts.netloc}{parts.path}{'?' if written else ''}{written}"


def _stays_here(parts: SplitResult, query: dict[str, str]) -> bool:
    """True for a Unix socket and for loopback; `host` in the query has the last word, as it has with the driver."""
    host = query.get("host", parts.hostname or "")
    return host in _LOCAL or host.startswith("/")
