"""Request bodies, decoded only where the API server's decoder and ours cannot differ. Anything else is refused.

Media types are read as the server reads them (`mime.ParseMediaType`): no type means JSON, case does not matter. A
charset, which it ignores, must be UTF-8 here; a Content-Encoding, which it ignores and others believe, is refused.
Protobuf is left to the server to decode (its dry run answers in JSON); its envelope names the kind without any schema.
Sources: k8s.io/apiserver/pkg/endpoints/handlers/{negotiation/negotiate.go,patch.go,delete.go}, `Unknown` in
k8s.io/apimachinery/pkg/runtime/generated.proto.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from addons.core import strict_json, strict_yaml
from addons.core.kube_request import KubeRequest
from addons.core.protobuf_envelope import read_envelope
from addons.core.strict_json import UnreadableBody

__all__ = ["NO_BODY", "Body", "UnreadableBody", "UnsupportedBody", "body_of", "decode_body", "is_dry_run"]

Format = Literal[
    "none", "json", "yaml", "json-patch", "merge-patch", "strategic-merge-patch", "apply-patch", "protobuf"
]

_FORMATS: Mapping[str, Format] = {
    "": "json",
    "application/json": "json",
    "application/yaml": "yaml",
    "application/vnd.kubernetes.protobuf": "protobuf",
    "application/json-patch+json": "json-patch",
    "application/merge-patch+json": "merge-patch",
    "application/strategic-merge-patch+json": "strategic-merge-patch",
    "application/apply-patch+yaml": "apply-patch",
}
_YAML: frozenset[Format] = frozenset({"yaml", "apply-patch"})
_MEDIA_TYPE = re.compile(
    r"(?P<type>[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+)"
    r"""(?:[ \t]*;[ \t]*charset=(?P<quote>"?)utf-8(?P=quote))?""",
    re.IGNORECASE | re.ASCII,
)
_BODILESS = frozenset({"GET", "HEAD"})


class UnsupportedBody(UnreadableBody):
    """A media type or encoding the gateway does not read, whatever the body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """`object` is a mapping, or a list for json-patch; None when there is no body or only the server can decode it."""

    format: Format = "none"
    object: Any = None
    envelope_api_version: str = ""
    envelope_kind: str = ""
    """What a protobuf body says it is. May be empty: the server then takes the kind from the URL."""

    @property
    def mapping(self) -> Mapping[str, Any] | None:
        """The decoded object; None for a json-patch, for protobuf and without a body."""
        return self.object if isinstance(self.object, dict) else None


NO_BODY = Body()


def decode_body(raw: bytes, content_type: str) -> Body:
    """The body in the form its media type says. Raises UnreadableBody, and UnsupportedBody for the media type."""
    if not raw:
        return NO_BODY
    form = _format(content_type)
    if form == "protobuf":
        api_version, kind = read_envelope(raw)
        return Body(format=form, envelope_api_version=api_version, envelope_kind=kind)
    value = (strict_yaml if form in _YAML else strict_json).loads(raw)
    if form == "json-patch":
        if not isinstance(value, list) or not all(isinstance(operation, dict) for operation in value):
            raise UnreadableBody("a JSON patch must be a list of operations")
    elif not isinstance(value, dict):
        raise UnreadableBody("the body must be an object")
    return Body(format=form, object=value)


def body_of(method: str, headers: Sequence[tuple[str, str]], raw: bytes, *, opaque: bool = False) -> Body:
    """The body of a request. Raises as `decode_body`, and for headers that would make others read it differently.

    An `opaque` body is not the API server's to read: it is for the backend behind a proxy subresource.
    """
    content_type = ""
    types = 0
    for name, value in headers:
        if len(name) not in _LENGTHS:
            continue
        lower = name.lower()
        if lower == "content-encoding":
            raise UnsupportedBody("a request body must not have a Content-Encoding")
        if lower == "content-type":
            types, content_type = types + 1, value
    if types > 1:
        raise UnreadableBody("the request has more than one Content-Type")
    if not raw or opaque:
        return NO_BODY
    if method in _BODILESS:
        raise UnreadableBody(f"a {method} request has no body")
    return decode_body(raw, content_type)


_LENGTHS = frozenset(map(len, ("content-encoding", "content-type")))


def is_dry_run(request: KubeRequest, body: Body) -> bool:
    """True if the API server would store nothing: in a DELETE with a body the query does not count.

    Options in protobuf cannot be read here, so they are taken for a real delete.
    """
    if request.verb not in ("delete", "deletecollection") or body.format == "none":
        return request.dry_run
    return body.mapping is not None and body.mapping.get("dryRun") == ["All"]


def _format(content_type: str) -> Format:
    text = content_type.strip(" \t")
    match = _MEDIA_TYPE.fullmatch(text)
    if text and not match:
        raise UnsupportedBody("the Content-Type cannot be read, or has parameters other than charset=utf-8")
    media_type = match["type"] if match else ""
    form = _FORMATS.get(media_type.lower())
    if form is None:
        raise UnsupportedBody("the Content-Type is none that the gateway reads")
    return form
