"""What callers are told whom no access rule gives what they want: why, and what they can do about it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from addons.core.access_rule import AccessRule
from addons.core.refusal import Refusal
from addons.core.session import Session

_TELL = "ask the people who run the gateway"


def no_grant(session: Session, rules: Sequence[AccessRule]) -> Refusal:
    """Names groups, which the caller can ask to join, and never the subjects that have access."""
    groups = sorted({group for rule in rules for group in rule.groups})
    mine = ", ".join(session.identity.groups) or "none"
    join = f"ask to become a member of one of these groups: {', '.join(groups)}" if groups else f"{_TELL} for access"
    return Refusal(
        code=403,
        rule="no-grant",
        why=f"no access rule of {session.connection} names you or one of your groups ({mine})",
        hint=join,
    )


def not_yet(session: Session, rules: Sequence[AccessRule]) -> Refusal:
    """For a caller to whom these rules give something, but not yet, or not for this intent."""
    standing = [rule for rule in rules if not rule.on_request]
    return _intent_required(session, standing) if standing else on_request(session, rules)


def on_request(session: Session, rules: Sequence[AccessRule]) -> Refusal:
    """The commands that may be sent, word for word."""
    asked = [rule for rule in rules if rule.on_request]
    patterns = [f"an intent of the form {rule.intent_pattern}" for rule in asked if rule.intent_pattern]
    longest = f"for at most {max(rule.duration_seconds for rule in asked)}s"
    return Refusal(
        code=403,
        rule="access-on-request",
        why=f"access to {session.connection} is given on request, {', with '.join([longest, *patterns])}",
        hint=" or: ".join(_command(session.connection, rule) for rule in asked),
        retry="yes, once the request is granted",
    )


def _command(connection: str, rule: AccessRule) -> str:
    intent = shlex.quote(rule.intent_example or "what you are going to do, and why")
    seconds = min(1800, rule.duration_seconds)
    role = shlex.quote(rule.role)
    return f"chaperone request --connection {connection} --role {role} --intent {intent} --for {seconds}s"


def _intent_required(session: Session, rules: Sequence[AccessRule]) -> Refusal:
    patterns = " or ".join(sorted({rule.intent_pattern for rule in rules}))
    example = rules[0].intent_example
    return Refusal(
        code=403,
        rule="intent-required",
        why=f"access to {session.connection} needs an intent of the form {patterns}",
        hint=f"say what you are doing: kubectl --as=agent --as-user-extra=reason='{example}' …",
    )


def ambiguous(session: Session, rules: Sequence[AccessRule]) -> Refusal:
    """For rules that contradict each other."""
    listed = ", ".join(f"{rule.name} ({rule.role})" for rule in rules)
    return Refusal(
        code=403,
        rule="ambiguous-access",
        why=f"several access rules of {session.connection} give you different roles with the same priority: {listed}",
        hint=f"{_TELL} to set a priority, or to tell the rules apart by intent",
    )


def ask_for(connection: str) -> str:
    """What is left to do where no rule helps."""
    return f"{_TELL} for an access rule of {connection}"
