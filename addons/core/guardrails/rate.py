"""How often an identity asks: the counts a rule reads as `rate`. Who counts, and across which processes, is
`edge/rates.py`."""

from __future__ import annotations

from dataclasses import dataclass

from addons.core.kube_request import KubeRequest

_READS = frozenset({"get", "list", "watch"})
_LISTS = frozenset({"list", "watch"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Requests of one identity on one connection in the last minute, the one at hand included."""

    requests: int = 1
    writes: int = 0
    lists: int = 0
    denied: int = 0


def rate_of_one(request: KubeRequest) -> Rate:
    """The counts when this request is the only one."""
    return Rate(writes=int(writes(request)), lists=int(lists(request)))


def writes(request: KubeRequest) -> bool:
    """True for everything but get, list and watch: an exec can change what it likes."""
    return request.is_connect or request.verb not in _READS


def lists(request: KubeRequest) -> bool:
    """True for lists and watches."""
    return request.verb in _LISTS
