"""The dashboard shows every metric that the gateway has, and none that it has not."""

from __future__ import annotations

import json
import re
from typing import Any

from scripts.devenv.places import REPOSITORY

DASHBOARD: dict[str, Any] = json.loads((REPOSITORY / "deploy" / "grafana" / "chaperone.json").read_text())
PAGE = (REPOSITORY / "docs" / "configuration.md").read_text()
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def test_every_metric_is_shown_by_the_name_it_has() -> None:
    documented = {row[1]: set(re.findall(r"`(\w+)`", row[2])) for row in _rows()}
    shown = {name.removesuffix("_bucket") for text in EXPRESSIONS for name in re.findall(r"chaperone_\w+", text)}
    assert shown == documented.keys()


def test_only_labels_that_there_are() -> None:
    every = {label for row in _rows() for label in re.findall(r"`(\w+)`", row[2])} | {"le"}
    used = {label for text in EXPRESSIONS for label in re.findall(r"(\w+)(?:=~|!=|=)\"", text)}
    used |= {
        label for text in EXPRESSIONS for labels in re.findall(r"by \(([^)]+)\)", text) for label in labels.split(", ")
    }
    assert used <= every


def test_panels_have_places_of_their_own_and_say_what_they_show() -> None:
    places = [tuple(panel["gridPos"].values()) for panel in DASHBOARD["panels"]]
    taken = [(x + i, y + j) for x, y, w, h in places for i in range(w) for j in range(h)]
    assert len(taken) == len(set(taken))
    assert all(x + w <= 24 for x, _, w, _ in places)
    assert all(panel["title"] and panel["description"] for panel in DASHBOARD["panels"])


def _rows() -> list[re.Match[str]]:
    return list(re.finditer(r"^\| `(chaperone_\w+)` \|([^|]*)\|", PAGE, re.MULTILINE))
