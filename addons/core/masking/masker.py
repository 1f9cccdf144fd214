"""The compiled masking rules: from a request to the plan for its reply."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from addons.core.kube_request import KubeRequest
from addons.core.masking.codec import Unmaskable
from addons.core.masking.detectors import Detectors
from addons.core.masking.placeholder import Fingerprints
from addons.core.masking.plan import MaskPlan
from addons.core.masking.reply import Reply
from addons.core.masking.rule import Rule
from addons.core.session import Session

_PLAIN_PREFIXES = ("/api", "/apis", "/version", "/openapi", "/healthz", "/livez", "/readyz")
_CHANNELS = frozenset({("pods", "exec"), ("pods", "attach")})
_MAX_CACHED = 4096

type _Shape = tuple[bool, str, str, str, str, bool]


class Masker:
    """All masking rules and detectors. Immutable but for its caches; replaced as a whole when rules change."""

    __slots__ = ("_detectors", "_fingerprints", "_kinds", "_plans", "_rules", "_without")

    def __init__(self, rules: Sequence[Rule], detectors: Detectors, fingerprints: Fingerprints) -> None:
        self._rules = tuple(rules)
        self._detectors = detectors
        self._fingerprints = fingerprints
        self._plans: dict[_Shape, MaskPlan] = {}
        self._kinds: dict[tuple[str, str], tuple[Rule, ...]] = {}
        self._without: dict[tuple[str, ...], Masker] = {}

    @property
    def names(self) -> frozenset[str]:
        """The names of the rules."""
        return frozenset(rule.name for rule in self._rules)

    def without(self, names: tuple[str, ...]) -> Masker:
        """The masker of the other rules; all detectors stay. `names` come from rule files: they are few."""
        if not names:
            return self
        if (other := self._without.get(names)) is None:
            rules = [rule for rule in self._rules if rule.name not in names]
            other = self._without[names] = Masker(rules, self._detectors, self._fingerprints)
        return other

    def plan(self, request: KubeRequest, session: Session | None = None) -> MaskPlan:
        """The plan for the reply to `request`. Cheap after the first request of a shape.

        Without a session, fingerprints compare whatever cluster and session they are of.
        """
        plan = self._shaped(request) if request.is_resource_request else self._non_resource(request)
        return plan if plan.passes or session is None else plan.bound(session.connection, session.id)

    def _shaped(self, request: KubeRequest) -> MaskPlan:
        shape = (True, request.api_group, request.resource, request.subresource, request.verb, request.dry_run)
        plan = self._plans.get(shape)
        if plan is None:
            plan = self._make(request, self._reply(request))
            self._remember(shape, plan)
        return plan

    def _non_resource(self, request: KubeRequest) -> MaskPlan:
        plain = any(request.path == prefix or request.path.startswith(prefix + "/") for prefix in _PLAIN_PREFIXES)
        reply = Reply.PASSED if plain or not self._detectors.all else Reply.TEXT
        shape = (False, reply.name, "", "", "", False)
        plan = self._plans.get(shape)
        if plan is None:
            plan = self._make(request, reply)
            self._remember(shape, plan)
        return plan

    def _remember(self, shape: _Shape, plan: MaskPlan) -> None:
        if len(self._plans) < _MAX_CACHED:
            self._plans[shape] = plan

    def _reply(self, request: KubeRequest) -> Reply:
        place = (request.resource, request.subresource)
        if request.subresource == "portforward":
            return Reply.PASSED
        if place in _CHANNELS or request.subresource == "proxy" or place == ("pods", "log"):
            if not self._detectors.all:
                return Reply.PASSED
            return Reply.CHANNELS if place in _CHANNELS else Reply.TEXT
        return Reply.OBJECTS if self._about(request) else Reply.PASSED

    def _about(self, request: KubeRequest) -> list[Rule]:
        return [rule for rule in self._rules if rule.about(request.api_group, request.resource, request.subresource)]

    def _make(self, request: KubeRequest, reply: Reply) -> MaskPlan:
        rules = self._about(request) if reply is Reply.OBJECTS else []
        fingerprints = self._fingerprints.silent() if request.dry_run else self._fingerprints
        return MaskPlan(reply, request.verb, rules, self._rules_of_kind, self._detectors, fingerprints)

    def _rules_of_kind(self, group: str, kind: str) -> tuple[Rule, ...]:
        rules = self._kinds.get((group, kind))
        if rules is None:
            rules = tuple(rule for rule in self._rules if rule.about_kind(group, kind))
            if len(self._kinds) < _MAX_CACHED:
                self._kinds[group, kind] = rules
        return rules


def mask_reply(
    masker: Masker, request: KubeRequest, content_type: str, chunks: Iterable[bytes], status: int = 200
) -> Iterator[bytes]:
    """What an agent sees of a reply, exactly as the gateway does it. Raises Unmaskable where the gateway refuses."""
    plan = masker.plan(request)
    match plan.mode(status, content_type):
        case "pass":
            yield from chunks
        case "document":
            yield plan.mask_document(b"".join(chunks), content_type)
        case "refuse":
            raise Unmaskable(f"{content_type or 'a reply without a content type'} cannot be masked")
        case mode:
            stream = plan.stream(mode)
            for chunk in chunks:
                yield from stream.feed(chunk)
            yield from stream.finish()
