"""Reads the rule folders. What the documents mean is decided elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from addons.core.documents import Document, parse_documents
from addons.core.problem import Problem


def read_rules(folders: Sequence[str]) -> tuple[list[Document], list[Problem]]:
    """Every document of every `*.yaml` below the folders, in the order of their paths, and every unreadable file.

    Hidden folders are left out: in a mounted ConfigMap each file is there twice, once below `..2026_01_31_…`.
    """
    documents: list[Document] = []
    problems: list[Problem] = []
    for folder in folders:
        if not Path(folder).is_dir():
            problems.append(Problem(folder, 0, "no such rules folder"))
        for file in sorted(Path(folder).rglob("*.yaml")):
            if any(part.startswith(".") for part in file.relative_to(folder).parts[:-1]):
                continue
            try:
                text = file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                problems.append(Problem(str(file), 0, f"cannot be read: {error}"))
                continue
            found, mistakes = parse_documents(text, str(file))
            documents += found
            problems += mistakes
    return documents, problems
