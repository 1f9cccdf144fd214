"""What happens to the reply of a request: passed on, masked as a document, as watch events or as text, or withheld."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any, Literal

from addons.core.masking.codec import Unmaskable, decode_json, decode_yaml, encode_json, encode_yaml
from addons.core.masking.detectors import Detectors, any_of, compile_re2
from addons.core.masking.fields import RulesOfKind
from addons.core.masking.frames import FrameMasker
from addons.core.masking.lists import ListMasker, MaskItems, NotWhole
from addons.core.masking.objects import ObjectMasker, hide_quoted
from addons.core.masking.placeholder import Fingerprints
from addons.core.masking.reply import Reply, StreamMasker
from addons.core.masking.rule import Rule
from addons.core.masking.text import TextMasker, redact
from addons.core.masking.warnings import mask_warnings

type Mode = Literal["pass", "document", "list", "frames", "text", "refuse"]

_JSON = "application/json"
_YAML = "application/yaml"
_FORMS = {"", "Table", "PartialObjectMetadata", "PartialObjectMetadataList"}
_PARAMETERS = {"as", "v", "g", "q", "stream", "charset"}
_NO_BODY = (204, 304)
_MALFORMED = (KeyError, TypeError, AttributeError, IndexError, UnicodeError, RecursionError)


_SESSIONS = 256
"""Whose bound plans of one shape are remembered at once."""


class MaskPlan:
    """The plan for one shape of request. Immutable, shared by all requests of that shape; `bound`, by a session's."""

    __slots__ = (
        "_accepted",
        "_bound",
        "_detectors",
        "_fingerprints",
        "_lists",
        "_needed",
        "_of_kind",
        "_rules",
        "_text",
        "_watch",
        "guards",
        "passes",
        "reply",
    )

    def __init__(
        self,
        reply: Reply,
        verb: str,
        rules: Sequence[Rule],
        of_kind: RulesOfKind,
        detectors: Detectors,
        fingerprints: Fingerprints,
    ) -> None:
        self.reply = reply
        self.passes = reply is Reply.PASSED
        self.guards = any(rule.guard for rule in rules)
        self._watch = verb == "watch"
        self._lists = verb == "list"
        self._rules = rules
        self._of_kind = of_kind
        self._detectors = detectors
        self._fingerprints = self._text = fingerprints
        self._needed = _needed(rules, detectors)
        self._accepted: dict[str, str] = {}
        self._bound: dict[tuple[str, str], MaskPlan] = {}

    def bound(self, cluster: str, session: str) -> MaskPlan:
        """The plan for one session on one cluster: its fingerprints compare with no other cluster's, nor text's."""
        if (known := self._bound.get((cluster, session))) is not None:
            return known
        if len(self._bound) >= _SESSIONS:
            self._bound.clear()
        twin = self._bound[cluster, session] = copy(self)
        twin._fingerprints = self._fingerprints.of("object", cluster)
        twin._text = self._fingerprints.of("text", cluster, session)
        return twin

    @property
    def endless(self) -> bool:
        """True if the reply may never end, so that it must not be buffered."""
        return self._watch or self.reply is not Reply.OBJECTS

    def accept(self, original: str) -> str:
        """The Accept header to send upstream: only forms that can be masked, in the caller's order."""
        if self.reply is not Reply.OBJECTS:
            return original
        accepted = self._accepted.get(original)
        if accepted is None:
            accepted = ",".join(filter(self._acceptable, original.split(","))) or _JSON
            if len(self._accepted) < 1024:  # callers choose the header
                self._accepted[original] = accepted
        return accepted

    def mode(self, status: int, content_type: str, content_encoding: str = "", length: str = "") -> Mode:
        """How to treat a reply with this status and these headers. Unknown forms are refused.

        A list whose length is not told is long.
        """
        if self.passes or status == 101:
            return "pass"
        if content_encoding.lower() not in ("", "identity"):
            return "refuse"
        if self.reply is not Reply.OBJECTS:
            return "text"
        kind = _media_type(content_type)
        if kind == _JSON:
            if status != 200:
                return "document"
            return "frames" if self._watch else "list" if self._lists and not length else "document"
        if (kind == _YAML and not self._watch) or (kind == "text/plain" and status >= 400) or status in _NO_BODY:
            return "document"
        return "refuse"

    def mode_of(self, status: int, headers: Mapping[str, str]) -> Mode:
        """As `mode`, from the headers of a reply, which find names in lower case."""
        kind, encoding = headers.get("content-type", ""), headers.get("content-encoding", "")
        return self.mode(status, kind, encoding, headers.get("content-length", ""))

    def mask_document(self, body: bytes, content_type: str) -> bytes:
        """The masked body; the same bytes when nothing had to be masked. Raises Unmaskable."""
        if not body:
            return body
        kind = _media_type(content_type)
        if kind == _JSON:
            return self._mask_object(body)
        if kind == _YAML:
            return self._mask_yaml(body)
        return self._mask_plain(body)

    def mask_warnings(self, values: Sequence[str]) -> list[str]:
        """The `Warning` headers, without those that cannot be read."""
        return list(values) if self.passes else mask_warnings(values, self._redact)

    def frames(self) -> StreamMasker:
        """A masker for the events of one watch."""
        masker = self.objects()
        return FrameMasker(lambda frame: self._mask_json(frame, masker, masker.event))

    def list(self) -> StreamMasker:
        """A masker for one list or Table."""
        masker = self.objects()

        def begin(head: dict[str, Any]) -> MaskItems | None:
            if (mask := masker.items(head)) is None:
                return None
            return lambda text, look: self._mask_items(b"[" + text + b"]", look, masker, mask)[1:-1]

        return ListMasker(begin, self._mask_object)

    def stream(self, mode: Mode) -> StreamMasker:
        """The masker for what is streamed in this mode."""
        return {"frames": self.frames, "list": self.list}.get(mode, self.text)()

    def text(self) -> StreamMasker:
        """A masker for one body of text, such as a log."""
        return TextMasker(self._detectors, self._text)

    def channel(self) -> StreamMasker:
        """A masker for one output of an interactive stream: it holds nothing back that could be waited for."""
        return TextMasker(self._detectors, self._text, eager=True)

    def objects(self) -> ObjectMasker:
        """A masker for the decoded objects of one reply."""
        return ObjectMasker(self._rules, self._of_kind, self._detectors, self._fingerprints)

    def _mask_object(self, body: bytes) -> bytes:
        masker = self.objects()
        return self._mask_json(body, masker, masker.mask)

    def _mask_json(self, body: bytes, masker: ObjectMasker, mask: Callable[[Any], None]) -> bytes:
        return self._masked(body, decode_json(body), masker, mask) if self._is_needed(body) else body

    def _mask_items(self, body: bytes, look: bool, masker: ObjectMasker, mask: Callable[[Any], None]) -> bytes:
        needed = self._is_needed(body)
        if not needed and not look:
            return body
        try:
            value = decode_json(body)
        except Unmaskable as error:
            raise NotWhole(str(error)) from None
        return self._masked(body, value, masker, mask) if needed else body

    def _is_needed(self, body: bytes) -> bool:
        return self._needed is None or self._needed.search(body) is not None

    def _masked(self, body: bytes, value: Any, masker: ObjectMasker, mask: Callable[[Any], None]) -> bytes:
        masker.expect(body)
        return encode_json(value, like=body) if _apply(masker, mask, value) else body

    def _mask_yaml(self, body: bytes) -> bytes:
        masker = self.objects()
        value = decode_yaml(body)
        return encode_yaml(value) if _apply(masker, masker.mask, value) else body

    def _mask_plain(self, body: bytes) -> bytes:
        """The text of an error."""
        try:
            text = body.decode()
        except UnicodeError:
            raise Unmaskable("the reply is not text") from None
        return self._redact(text).encode()

    def _redact(self, text: str) -> str:
        return redact(hide_quoted(text) if self.guards else text, self._detectors, self._text)

    def _acceptable(self, part: str) -> bool:
        kind, *rest = (piece.strip() for piece in part.split(";"))
        parameters = dict(piece.partition("=")[::2] for piece in rest)
        return (
            (kind.lower() == _JSON or (kind.lower() == _YAML and not self._watch))
            and parameters.get("as", "") in _FORMS
            and parameters.keys() <= _PARAMETERS
        )


def _apply(masker: ObjectMasker, mask: Callable[[Any], None], value: Any) -> bool:
    """Mask in place; True if anything changed. Raises Unmaskable, whatever shape the reply has."""
    try:
        return masker.changes(mask, value)
    except _MALFORMED as error:
        raise Unmaskable(f"the reply is not what Kubernetes writes: {type(error).__name__}") from None


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _needed(rules: Sequence[Rule], detectors: Detectors) -> Any:
    """A pattern that occurs in all JSON that these rules can change, or None when there is no such pattern."""
    patterns = [rule.mention for rule in rules if rule.whole_values]
    if any(rule.detect for rule in rules):
        patterns.append(detectors.in_json)
    return compile_re2(any_of(patterns)) if patterns and all(patterns) else None
