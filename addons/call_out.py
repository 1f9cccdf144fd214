"""Asks the policy services of the rules that want it, all at once, about one request.

A service is trusted to judge, not with secrets: it sees objects as the record does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from addons.core.guardrails import Facts, Guardrail
from addons.core.guardrails.answer import Answer, Webhook
from addons.core.guardrails.cel import Unevaluable
from addons.core.guardrails.webhook import review
from addons.exchange import Exchange, Scrub

Ask = Callable[[Webhook, Mapping[str, Any]], Awaitable[Answer]]


async def with_answers(ask: Ask, asking: Sequence[Guardrail], facts: Facts, exchange: Exchange, scrub: Scrub) -> Facts:
    """The facts, with what each rule's service says; without an answer they say so, and the rule denies."""
    if not asking:
        return facts
    try:
        question = review(
            exchange.id, facts, _seen(exchange, facts.object, scrub), _seen(exchange, facts.old_object, scrub)
        )
    except (Unevaluable, orjson.JSONDecodeError) as error:
        unknown = Answer(allowed=None, message=f"its policy service cannot be asked: {error}")
        return replace(facts, answers={rule.name: unknown for rule in asking})
    webhooks = [rule.webhook for rule in asking if rule.webhook is not None]
    answers = await asyncio.gather(*(ask(webhook, question) for webhook in webhooks))
    for rule, answer in zip(asking, answers, strict=True):
        exchange.warnings.extend(f"{rule.name}: {warning}" for warning in answer.warnings)
    return replace(facts, answers={rule.name: answer for rule, answer in zip(asking, answers, strict=True)})


def _seen(exchange: Exchange, content: Mapping[str, Any] | None, scrub: Scrub) -> Any:
    """An object with its secrets replaced. Raises JSONDecodeError when that was not possible."""
    return None if content is None else orjson.loads(scrub(exchange, orjson.dumps(content), "application/json"))
