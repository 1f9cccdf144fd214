"""What a write changes, compared with what is there: labels, and what containers run.

A rule about a change lets alone what was decided before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from addons.core.argv import read_command_line
from addons.core.guardrails.pod_shape import mapping
from addons.core.guardrails.pod_specs import Pod

_HANDLERS = {
    "lifecycle": (("lifecycle", "postStart"), ("lifecycle", "preStop")),
    "probe": (("livenessProbe",), ("readinessProbe",), ("startupProbe",)),
}


def changed_labels(content: Mapping[str, Any], old: Mapping[str, Any] | None) -> dict[str, str]:
    """Labels that are new or have another value, and with the value "" those that are gone."""
    before, after = _labels(old or {}), _labels(content)
    changed = {key: value for key, value in after.items() if before.get(key) != value}
    return changed | dict.fromkeys(before.keys() - after.keys(), "")


def container_changes(pods: Iterable[Pod], old: Iterable[Pod]) -> list[dict[str, str]]:
    """What the containers of an existing object will run instead: `container` and `field`, one item per change.

    `field` is `added` (there was no such container), `image` (from another repository), `tag` (another tag or digest),
    `command` (with a shell, its arguments too), `args`, `lifecycle` or `probe` (what the kubelet runs in it).
    """
    before = _by_name(old)
    return [
        {"container": name, "field": field}
        for name, container in _by_name(pods).items()
        for field in _changed(container, before.get(name))
    ]


def _labels(content: Mapping[str, Any]) -> dict[str, str]:
    labels = mapping(mapping(content.get("metadata")).get("labels"))
    return {key: value for key, value in labels.items() if isinstance(value, str)}


def _by_name(pods: Iterable[Pod]) -> dict[str, Mapping[str, Any]]:
    """Containers by name; those of custom resources may have none, and are then told apart by their place."""
    containers = [container for pod in pods for container in pod.containers]
    return {str(container.get("name") or f"#{place}"): container for place, container in enumerate(containers)}


def _changed(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterator[str]:
    if old is None:
        yield "added"
        return
    image, old_image = (str(container.get("image", "")) for container in (new, old))
    if _repository(image) != _repository(old_image):
        yield "image"
    elif image != old_image:
        yield "tag"
    if _program(new) != _program(old):
        yield "command"
    elif new.get("args") != old.get("args"):
        yield "args"
    yield from (field for field, places in _HANDLERS.items() if any(_runs_other(new, old, place) for place in places))


def _program(container: Mapping[str, Any]) -> Any:
    """What is run, arguments apart; with a shell or an interpreter the arguments are what is run."""
    command, args = container.get("command"), container.get("args")
    words = [word for part in (command, args) if isinstance(part, list) for word in part if isinstance(word, str)]
    return words if read_command_line(words).shell else command


def _repository(image: str) -> str:
    """An image reference without tag and digest. The colon of a registry's port is before a slash."""
    path, _, last = image.partition("@")[0].rpartition("/")
    return f"{path}/{last.partition(':')[0]}"


def _runs_other(new: Mapping[str, Any], old: Mapping[str, Any], place: tuple[str, ...]) -> bool:
    command = _command(new, place)
    return command is not None and command != _command(old, place)


def _command(container: Mapping[str, Any], place: tuple[str, ...]) -> Any:
    found: Any = container
    for key in (*place, "exec"):
        found = mapping(mapping(found).get(key))
    return found.get("command")
