"""Which audit events, and which alerts, a pipeline takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from addons.core.alert import Fired
from addons.core.pipelines.models import SelectSpec
from addons.core.session_search import Search

_PREFIX = "chaperone.dev/"


class Selection:
    """A `select`, ready to be asked."""

    def __init__(self, spec: SelectSpec, of_alerts: bool = False) -> None:
        """`of_alerts`: the rules it names are those that tell, not those that decide."""
        self._spec = spec
        self._search = Search(
            verb=spec.verbs,
            resource=spec.resources,
            namespace=spec.namespaces,
            verdict=spec.verdicts,
            rule=() if of_alerts else spec.rules,
        )

    def takes(self, event: Mapping[str, Any]) -> bool:
        """True for an event that is sent."""
        notes, user = _mapping(event.get("annotations")), _mapping(event.get("user"))
        return (
            (not self._spec.stages or event.get("stage") in self._spec.stages)
            and _fits(self._spec.connections, notes.get(f"{_PREFIX}connection"))
            and _fits(self._spec.users, user.get("username"))
            and self._search.event(event)
        )

    def tells(self, alert: Fired) -> bool:
        """True for an alert that is sent, if the event is."""
        severe = not self._spec.severities or alert.severity in self._spec.severities
        return severe and _fits(self._spec.rules, alert.rule)


def _fits(patterns: Sequence[str], value: Any) -> bool:
    return not patterns or any(fnmatchcase(str(value or ""), pattern) for pattern in patterns)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
