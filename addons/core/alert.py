"""Alerts: what a rule says somebody should be told of, once per session, and how that stands in the audit log.

The record of every request that such a rule matched carries the annotation; whoever ships the log fires the first of
each key. The key is the same in every worker and after every restart.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, get_args

from addons.core.decision import Match, Severity
from addons.core.kube_request import KubeRequest

ANNOTATION = "chaperone.dev/alert"
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
MAX_REASON = 1000
_KEY_DIGITS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
    """An alert as the record has it. `key` tells it from others; `reason` is untrusted text."""

    rule: str
    severity: Severity
    key: str
    reason: str


def annotation(matches: Iterable[Match], session: str, request: KubeRequest | None) -> str:
    """The annotation of a request with these matches; "" when none of them is one to tell of.

    A rule on trial (shadow) tells nobody.
    """
    alerts = [
        {
            "rule": match.rule,
            "severity": match.alert.severity,
            "key": key(session, match.rule, match.alert.per, request),
            "reason": match.reason[:MAX_REASON],
        }
        for match in matches
        if match.alert is not None and not match.shadow
    ]
    return json.dumps(alerts, separators=(",", ":")) if alerts else ""


def key(session: str, rule: str, per: Iterable[str], request: KubeRequest | None) -> str:
    """What is equal for alerts that are one: those of a rule in a session, and in each of `per`, if there is any."""
    parts = [session, rule]
    for dimension in per:
        parts += [dimension, str(getattr(request, dimension, ""))]
    return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:_KEY_DIGITS]


def fired(event: Mapping[str, Any]) -> tuple[Fired, ...]:
    """The alerts in an audit event. What is no alert is passed over."""
    notes = event.get("annotations")
    text = notes.get(ANNOTATION) if isinstance(notes, dict) else None
    if not isinstance(text, str):
        return ()
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    return tuple(alert for each in (found if isinstance(found, list) else ()) if (alert := _read(each)) is not None)


def _read(each: Any) -> Fired | None:
    match each:
        case {"rule": str(rule), "severity": str(severity), "key": str(its_key), "reason": str(reason)}:
            known = next((name for name in SEVERITIES if name == severity), None)
            if known:
                return Fired(rule=_text(rule), severity=known, key=_text(its_key), reason=_text(reason))
    return None


def _text(value: str) -> str:
    """Without halves of characters, which JSON can name and nothing else can write."""
    return value.encode("utf-8", "replace").decode()
