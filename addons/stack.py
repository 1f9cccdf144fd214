"""THE list of addons: top to bottom is the running order, for requests *and* for replies. Start reading here.

mitmproxy is not an onion: every event runs down this list. A step that refuses sets the flow's response, and the later
ones leave the flow alone, except that `capture` records it.
"""

from __future__ import annotations

import time

from addons.access import Access
from addons.access_requests import AccessRequests
from addons.approvals import Approvals
from addons.attempts import Attempts
from addons.authentication import Authentication
from addons.bindings import Bindings
from addons.capture import Capture
from addons.commands import Commands
from addons.core.guardrails import GuardrailSet
from addons.core.masking import Masker
from addons.credential_removal import CredentialRemoval
from addons.credentials import Credentials
from addons.exchange import Exchange, need, policy_of
from addons.expiry import Expiry
from addons.guardrails import Guardrails
from addons.limits import Limits
from addons.locks import Locks
from addons.masking import Masking
from addons.metrics import Metrics
from addons.parts import Parts
from addons.perimeter import Perimeter
from addons.rates import Rates
from addons.refusal import Disconnect
from addons.reuse import Reuse
from addons.scrub import scrubbed
from addons.seal import Seal
from addons.session_guardrails import SessionGuardrails
from addons.single_use import SingleUse
from addons.tls import Tls
from addons.upgrades import Upgrades


def guardrails_of(exchange: Exchange) -> GuardrailSet:
    """The guardrails that an exchange is judged by, whatever is in force by now."""
    return policy_of(exchange).guardrails


def masker_of(exchange: Exchange) -> Masker:
    """The masking rules that hold for an exchange: all but those that its grant unmasks."""
    return policy_of(exchange).masker.without(need(exchange.grant, "the grant").unmask)


def build_stack(parts: Parts, disconnect: Disconnect) -> list[object]:
    """The gates, in order; `parts` is what they judge by and reach out with."""
    settings, in_force, now, uid = parts.settings, parts.in_force, parts.now, parts.upstream.uid
    return [
        Limits(settings.max_clients, time.monotonic, disconnect),  # how many, and how long they may take
        Perimeter(parts.connections, lambda: in_force.policy, now, settings.request_bytes),  # known clusters, by HTTPS
        CredentialRemoval(parts.credentials),  # replies and records never hold the upstream credential
        Tls(parts.connections, parts.authority, now, settings.http2, parts.own_certificate),  # shown, and trusted
        Authentication(parts.verifier, now),  # bearer token -> Identity; removes it
        Bindings(parts.possession),  # a session token is used for what it was issued for
        SingleUse(lambda exchange: policy_of(exchange).single_use, parts.first_uses),  # used where it was first used
        AccessRequests(lambda exchange: policy_of(exchange).access, parts.store, now),  # asking for access
        Commands(parts.resources_of, parts.refresh),  # request line, headers, body -> KubeRequest
        Upgrades(),  # a 101 is what was asked for, in a protocol that can be read
        Access(lambda exchange: policy_of(exchange).access, parts.granted, now),  # identity, cluster, intent -> Grant
        Masking(masker_of, disconnect),  # what may come back, or be probed
        Rates(guardrails_of, parts.rates, now),  # how much the caller asked lately
        Guardrails(guardrails_of, parts.upstream, parts.services.ask, now, scrubbed),  # KubeRequest -> Decision
        SessionGuardrails(guardrails_of),  # what happens inside a session
        Approvals(parts.store, uid, now, scrubbed, parts.live, parts.answers, settings.hold_seconds),  # a human's say
        Locks(parts.locks),  # nobody whom a human has locked, before all questions and after all answers
        Attempts(now),  # of two tries of one session, which was the first
        Capture(parts.recordings, now, disconnect, parts.records, parts.live),  # on disk before it is forwarded
        Expiry(
            lambda: in_force.policy.access, parts.locks.read, parts.granted.read, now, disconnect
        ),  # what runs ends with its right
        Credentials(parts.credentials),  # Grant -> the upstream credential, written last
        Reuse(parts.connections),  # what one client leaves open, the same session's next one goes on with
        Metrics(parts.meters, now),  # what became of it, counted
        Seal(),  # undecided is refused
    ]
