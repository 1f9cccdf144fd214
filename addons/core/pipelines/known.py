"""What every form says of an audit event, read once. The log is ours; what callers chose in it is untrusted text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

PRODUCT, VENDOR, VERSION = "kube-chaperone", "Chaperone", "0.1.0"
_PREFIX = "chaperone.dev/"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Outcome = Literal["success", "failure", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An event's facts; "" and 0 for what it does not say. Times are Unix nanoseconds."""

    event: Mapping[str, Any]
    id: str
    stage: str
    verb: str
    uri: str
    username: str
    groups: tuple[str, ...]
    source: str
    user_agent: str
    resource: str
    subresource: str
    namespace: str
    name: str
    api_group: str
    api_version: str
    code: int
    message: str
    received_at: int
    at: int
    notes: Mapping[str, str]
    """Annotations of ours, without their prefix."""
    extra: Mapping[str, str]
    """What the identity is made of: `iss`, `act`, `owner`, `jti`."""

    @property
    def over(self) -> bool:
        """True for the last event of a call."""
        return self.stage in ("ResponseComplete", "Panic")

    @property
    def outcome(self) -> Outcome:
        """What became of the call, as far as this event tells."""
        if self.stage == "Panic" or (self.over and not self.code):
            return "failure"
        if not self.code:
            return "unknown"
        return "failure" if self.code >= 400 else "success"

    @property
    def kind(self) -> str:
        """The resource with its subresource, "" for none."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    @property
    def risk(self) -> int:
        """0 to 100."""
        said = self.notes.get("risk", "")
        return int(said) if said.isascii() and said.isdigit() and len(said) <= 3 else 0

    @property
    def summary(self) -> str:
        """The event in one line for people."""
        where = f" in {self.namespace}" if self.namespace else ""
        what = f"{self.kind} {self.name}".strip() or self.uri
        decided = self.notes.get("decision", "")
        because = f": {decided} by {self.notes['rule']}" if self.notes.get("rule") else f": {decided}" * bool(decided)
        return f"{self.username} {self.verb} {what}{where}{because}"


def known(event: Mapping[str, Any]) -> Known:
    """The facts of an event; whatever is not as it should be counts as not said."""
    user, ref, status = (_mapping(event.get(name)) for name in ("user", "objectRef", "responseStatus"))
    sources, groups, code = event.get("sourceIPs"), user.get("groups"), status.get("code")
    return Known(
        event=event,
        id=_text(event.get("auditID")),
        stage=_text(event.get("stage")),
        verb=_text(event.get("verb")),
        uri=_text(event.get("requestURI")),
        username=_text(user.get("username")),
        groups=tuple(map(str, groups)) if isinstance(groups, list) else (),
        source=_text(sources[0]) if isinstance(sources, list) and sources else "",
        user_agent=_text(event.get("userAgent")),
        resource=_text(ref.get("resource")),
        subresource=_text(ref.get("subresource")),
        namespace=_text(ref.get("namespace")),
        name=_text(ref.get("name")),
        api_group=_text(ref.get("apiGroup")),
        api_version=_text(ref.get("apiVersion")),
        code=code if isinstance(code, int) else 0,
        message=_text(status.get("message")),
        received_at=nanoseconds(_text(event.get("requestReceivedTimestamp"))),
        at=nanoseconds(_text(event.get("stageTimestamp"))),
        notes=_ours(event.get("annotations")),
        extra={name: value[0] for name, value in _ours(user.get("extra"), lists=True).items()},
    )


def nanoseconds(text: str) -> int:
    """Unix nanoseconds of a time as events have it, 0 for what is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0
    since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000


def present(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those that say something."""
    return {name: value for name, value in values.items() if value not in (None, "", [], {}, ())}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _ours(value: Any, lists: bool = False) -> dict[str, Any]:
    def fits(item: Any) -> bool:
        return isinstance(item, list) and bool(item) and isinstance(item[0], str) if lists else isinstance(item, str)

    return {
        name.removeprefix(_PREFIX): item
        for name, item in _mapping(value).items()
        if name.startswith(_PREFIX) and fits(item)
    }
