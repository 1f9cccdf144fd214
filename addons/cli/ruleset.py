"""The rules a command judges by: the folders it was given, or those it was shipped with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

NO_SECRET_KEY = b"fingerprints of a command are comparable with each other and with nothing else"

Rules = Annotated[list[Path] | None, Parameter(help="Folders of rule files, instead of the shipped ones.")]
Output = Annotated[Literal["text", "json"], Parameter(alias="-o", help='"text" for people, "json" for programs.')]


def folders(rules: list[Path] | None) -> list[str]:
    """`rules`, or the shipped ones: beside the package in the repository, under the prefix where it is installed."""
    beside = Path(__file__).parents[2] / "rules"
    shipped = beside if beside.is_dir() else Path(sys.prefix) / "share" / "chaperone" / "rules"
    return [str(folder) for folder in rules or [shipped]]
