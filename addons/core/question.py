"""What a human is asked, and what the agent is told about it."""

from __future__ import annotations

from dataclasses import dataclass

from addons.core.approval import Approval, Ask, State, canonical_method, opens_stream
from addons.core.approval_terms import NO_OFFER, Offer, needed
from addons.core.blast import Blast
from addons.core.command import Command
from addons.core.decision import Decision
from addons.core.identity import Identity
from addons.core.kube_request import KubeRequest
from addons.core.redaction import scrub_target, scrub_text
from addons.core.refusal import Refusal
from addons.core.request_line import canonical_target
from addons.core.scope import spoken
from addons.core.session import Session

RETRY_SECONDS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """What a request changes and reaches, and how far an approval may go. `diff` must be masked."""

    diff: str = ""
    blast: Blast = ()
    offer: Offer = NO_OFFER
    shape: str = ""


def ask(
    identity: Identity, session: Session, request: KubeRequest, command: Command, decision: Decision, extent: Extent
) -> Ask:
    """The question about one request. Tokens in the target are replaced here."""
    return Ask(
        requester_iss=identity.iss,
        requester_sub=identity.sub,
        requester_act=identity.act,
        requester_owner=identity.owner,
        requester_groups=identity.groups,
        connection=session.connection,
        session=session.id,
        verb=request.verb,
        resource=f"{request.resource}/{request.subresource}" if request.subresource else request.resource,
        namespace=request.namespace,
        name=request.name,
        argv=tuple(scrub_text(word) for word in request.argv),
        method=canonical_method(request),
        target=scrub_target(request.target),
        command=command.inferred,
        rule=decision.rule,
        risk=decision.risk,
        reason=decision.reason,
        intent=session.intent,
        diff=extent.diff,
        api_group=request.api_group,
        container=request.container,
        needed=needed((match.rule, match.terms) for match in decision.asking),
        offer=extent.offer,
        shape=extent.shape,
        blast=extent.blast,
        claimed=command.claimed,
        run=command.session,
    )


def object_target(request: KubeRequest) -> str:
    """Path of the one object that the request is about and that may be there already; "" if there is none."""
    if not request.name or (request.verb == "create" and not request.subresource):
        return ""
    group = f"apis/{request.api_group}" if request.api_group else "api"
    scope = f"/namespaces/{request.namespace}" if request.namespace and request.resource != "namespaces" else ""
    return canonical_target(f"/{group}/{request.api_version}{scope}/{request.resource}/{request.name}", ())


def refusal(approval: Approval, request: KubeRequest, rule: str, reason: str) -> Refusal:
    """What the agent is told when it was not approved (yet).

    Clients repeat ordinary requests by themselves after a 429; they do not repeat exec, attach and port-forward, and a
    403 is what they show.
    """
    if approval.state is State.DENIED:
        return Refusal(
            code=403,
            rule=rule,
            why=f"{approval.approver} denied approval {approval.id}: {approval.note or 'no reason was given'}",
            hint="do something else; the same request is denied for some minutes without asking again",
        )
    stream = opens_stream(request)
    return Refusal(
        code=403 if stream else 429,
        rule=rule,
        why=f"{reason or 'this needs a human'}; approval {approval.id} is {_progress(approval)}",
        hint=f"have someone who may approve run: chaperone approvals approve {approval.id}\n"
        "    then run the same command again",
        retry_after_seconds=RETRY_SECONDS,
    )


def waiting(approval: Approval, who: Identity, request: KubeRequest, decision: Decision) -> str:
    """One line for whoever looks on: who waits for what, why, and how it is decided. Holds no token."""
    argv = f" -- {scrub_text(' '.join(request.argv))}" if request.argv else ""
    return (
        f"waits for approval {approval.id}: {who.username}: {spoken(request)}{argv}; {decision.rule}"
        f" (risk {decision.risk}): {decision.reason}; decide with: chaperone approvals approve {approval.id}"
    )


def _progress(approval: Approval) -> str:
    return "still waiting for an answer" if approval.state is State.PENDING else approval.state.value


CHANGED = Refusal(
    code=403,
    rule="changed-after-approval",
    why="the request is not the one that was asked about any more",
    hint="send it again, unchanged",
    retry="yes, at once: it is asked about anew",
)
DECLINED = Refusal(
    code=403,
    rule="declined-by-the-cluster",
    why="the cluster itself refused this a moment ago, over WebSocket",
    hint="see what it said: kubectl auth can-i create pods/exec, and -v=6, say more",
)
STOPPING = Refusal(
    code=503,
    rule="gateway-stopping",
    why="the gateway is stopped while this waits for an approval; the question stays open",
    hint="send it again in a moment: an answer that was given meanwhile counts",
    retry_after_seconds=5,
)
TOO_MANY = Refusal(
    code=403,
    rule="too-many-approvals",
    why="too many requests of this agent wait for an answer already",
    hint="have them answered, or wait until they expire: chaperone approvals list",
    retry="yes, once fewer of them wait",
)
