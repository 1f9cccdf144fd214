"""Judges what happens inside a session before it is passed on: lines typed and printed, files copied, ports reached.

A message that completes something denied ends the session; one that needs an approval waits for it in the next step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from weakref import WeakKeyDictionary

from mitmproxy.http import HTTPFlow

from addons.core.decision import Decision, Verdict, strictest
from addons.core.guardrails import GuardrailSet
from addons.core.refusal import Refusal
from addons.core.session_events import Copied, Event, SessionReader, notes_of, told
from addons.core.tar import PathTraversal
from addons.exchange import Exchange, exchange_of, need
from addons.upgrade_hooks import Passing

_EACH = ("line", "output", "file", "port")


@dataclass(slots=True)
class _Session:
    rules: GuardrailSet
    reader: SessionReader


class SessionGuardrails:
    """A session keeps the rules that it was opened under."""

    def __init__(self, rules: Callable[[Exchange], GuardrailSet]) -> None:
        self._rules = rules
        self._sessions: WeakKeyDictionary[HTTPFlow, _Session] = WeakKeyDictionary()

    def upgrade_start(self, flow: HTTPFlow) -> None:
        """Find out what has to be read."""
        exchange = exchange_of(flow)
        request, connection = need(exchange.request, "request"), need(exchange.connection, "connection")
        rules = self._rules(exchange)
        wanted = frozenset(each for each in _EACH if rules.candidates(request, connection.name, each))
        self._sessions[flow] = _Session(rules, SessionReader(request, wanted))

    def upgrade_message(self, passing: Passing) -> None:
        """Write the message's decision, or refuse it."""
        session, message = need(self._sessions.get(passing.flow), "the session's rules"), passing.message
        try:
            events = session.reader.read(message)
        except PathTraversal as error:
            message.refusal = Refusal(
                code=403, rule="path-traversal", why=str(error), hint="copy it without such names"
            )
            message.notes.append(f"refused: {error}")
            return
        if events and (judged := self._judge(exchange_of(passing.flow), session.rules, events)):
            decision = message.decision = reduce(strictest, (each for each, _ in judged))
            message.about = ", and ".join(told(event) for _, event in judged)
            message.notes += [note for each in judged for note in notes_of(*each)]
            if decision.verdict is Verdict.DENY:
                message.refusal = _refusal(decision, message.about)
        message.notes += session.reader.copied()
        message.notes += [told(event) for event in events if isinstance(event, Copied) and event.kind == "unreadable"]

    def _judge(self, exchange: Exchange, rules: GuardrailSet, events: list[Event]) -> list[tuple[Decision, Event]]:
        judged = need(exchange.judged, "judged")
        return rules.judge_events(events, judged.facts, judged.thresholds, judged.profile)


def _refusal(decision: Decision, about: str) -> Refusal:
    return Refusal(
        code=403,
        rule=decision.rule,
        why=decision.reason,
        hint=decision.hint,
        what=f"what this session did: {about[:200]}",
    )
