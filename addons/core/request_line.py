"""The request target, read once: the path as the API server's Go code decodes it, the query as `url.Query()` does.

Whatever another parser in the way (a load balancer, a proxy) could read differently is refused rather than guessed:
encoded separators, dot segments, empty segments, control characters, bad escapes, text that is not UTF-8.
Sources: `parse` and `parseQuery` in Go's net/url; RFC 3986, section 3.
"""

from __future__ import annotations

import re
from urllib.parse import quote, quote_plus, unquote_to_bytes

Query = tuple[tuple[str, str], ...]

MAX_PARAMETERS = 1000
"""Go drops every parameter of a query that has more than 10,000; nobody sends a tenth of that."""

_CANONICAL_PATH = "/:@$&+,=~-._!'()*"
_NOT_PRINTABLE = re.compile(r"[^\x21-\x7e]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ENCODED_SEPARATOR = re.compile(r"%(2[fF]|5[cC]|00)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DOT_SEGMENT = re.compile(r"/\.\.?(/|$)")


class AmbiguousRequest(ValueError):
    """Two parsers could read this request differently. `reason` and `hint` are safe to show: they quote nothing."""

    def __init__(self, reason: str, hint: str = "send the path and query the way kubectl does") -> None:
        super().__init__(reason)
        self.reason, self.hint = reason, hint


def parse_target(target: str) -> tuple[str, Query]:
    """The decoded path without trailing slash, and the query pairs in order. Raises AmbiguousRequest.

    `target` is origin-form (`/path?query`), untrusted. Percent-decoded exactly once: `%2573` is the text `%73`.
    """
    if not target.startswith("/"):
        raise AmbiguousRequest("the request target is not a path that begins with /")
    if _NOT_PRINTABLE.search(target):
        raise AmbiguousRequest("the request target contains spaces, control or non-ASCII characters unescaped")
    if "#" in target or "\\" in target:
        raise AmbiguousRequest("the request target contains a fragment or a backslash")
    raw_path, _, raw_query = target.partition("?")
    return _path(raw_path), _query(raw_query) if raw_query else ()


def canonical_target(path: str, query: Query) -> str:
    """The one spelling of a path and its query, client-go's: `parse_target` of it gives the same back."""
    escaped = quote(path, safe=_CANONICAL_PATH)
    if not query:
        return escaped
    return f"{escaped}?{'&'.join(f'{quote_plus(key)}={quote_plus(value)}' for key, value in query)}"


def _path(raw: str) -> str:
    path = raw
    if "%" in raw:
        if _ENCODED_SEPARATOR.search(raw):
            raise AmbiguousRequest("the path contains an encoded slash, backslash or NUL")
        path = _unescape(raw, "path")
        if _CONTROL.search(path):
            raise AmbiguousRequest("the path contains control characters")
    if "//" in path:
        raise AmbiguousRequest("the path contains an empty segment", "send each slash once")
    if "/." in path and _DOT_SEGMENT.search(path):
        raise AmbiguousRequest("the path contains a . or .. segment", "send the path it stands for")
    return path[:-1] if len(path) > 1 and path.endswith("/") else path


def _query(raw: str) -> Query:
    """As Go: pairs with a raw `;` are dropped, `+` is a space, a key without `=` has the value ""."""
    pairs = raw.split("&")
    if len(pairs) > MAX_PARAMETERS:
        raise AmbiguousRequest(f"the query has more than {MAX_PARAMETERS} parameters")
    return tuple(_pair(pair) for pair in pairs if pair and ";" not in pair)


def _pair(raw: str) -> tuple[str, str]:
    key, _, value = raw.partition("=")
    return _parameter(key), _parameter(value)


def _parameter(raw: str) -> str:
    if "+" in raw:
        raw = raw.replace("+", " ")
    if "%" not in raw:
        return raw
    text = _unescape(raw, "query")
    if "\x00" in text:
        raise AmbiguousRequest("the query contains a NUL character")
    return text


def _unescape(raw: str, where: str) -> str:
    if _BAD_ESCAPE.search(raw):
        raise AmbiguousRequest(f"the {where} contains a % that is not followed by two hexadecimal digits")
    try:
        return unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise AmbiguousRequest(f"the {where} is not UTF-8") from None
