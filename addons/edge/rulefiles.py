"""Reads the rule folders. What the documents mean is decided elsewhere."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from addons.core.documents import Document, parse_documents
from addons.core.problem import Problem

Signature = tuple[tuple[str, int, int, int], ...]
"""Path within its folder, inode, size and time of change (ns) of every rule file: different whenever a file may be."""


@dataclass(frozen=True, slots=True)
class RuleFile:
    """`name` is the path within its folder."""

    path: str
    name: str
    text: str


def read_rules(folders: Sequence[str]) -> tuple[list[Document], list[Problem]]:
    """Every document of every `*.yaml` below the folders, in the order of their paths, and every unreadable file."""
    files, problems = read_files(folders)
    documents, mistakes = parse_files(files)
    return documents, problems + mistakes


def read_files(folders: Sequence[str]) -> tuple[list[RuleFile], list[Problem]]:
    """The text of every `*.yaml` below the folders, and every one that cannot be read."""
    files: list[RuleFile] = []
    problems = [Problem(folder, 0, "no such rules folder") for folder in folders if not Path(folder).is_dir()]
    for name, found in _found(folders):
        file = Path(found)
        try:
            files.append(RuleFile(str(file), name, file.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            problems.append(Problem(str(file), 0, f"cannot be read: {error}"))
    return files, problems


def parse_files(files: Sequence[RuleFile]) -> tuple[list[Document], list[Problem]]:
    """The documents of what was read, and every mistake."""
    documents: list[Document] = []
    problems: list[Problem] = []
    for file in files:
        found, mistakes = parse_documents(file.text, file.path)
        documents += found
        problems += mistakes
    return documents, problems


def version_of(files: Sequence[RuleFile]) -> str:
    """SHA-256, in hex, over names and texts: the same on every machine that was given the same files."""
    digest = hashlib.sha256()
    for file in files:
        for text in (file.name, file.text):
            encoded = text.encode("utf-8", "surrogateescape")
            digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()


def signature(folders: Sequence[str]) -> Signature:
    """What tells, without reading them, whether the files may have changed. Blocks for some 10 µs a file."""
    found = []
    for name, file in _found(folders):
        try:
            status = file.stat()
        except OSError:
            found.append((name, 0, 0, 0))
        else:
            found.append((name, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)


def _found(folders: Sequence[str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Every file, with its path within its folder; without pathlib, which takes ten times as long every second."""
    for folder in folders:
        yield from sorted(_below(folder), key=lambda found: found[0].split("/"))


def _below(folder: str, within: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Hidden files and folders are not rules: among them are what editors leave, and the data of mounted ConfigMaps."""
    with suppress(OSError), os.scandir(f"{folder}/{within}") as entries:
        for entry in entries:
            name = f"{within}{entry.name}"
            if entry.name.startswith("."):
                continue
            if entry.name.endswith(".yaml"):
                yield name, entry
            if entry.is_dir(follow_symlinks=False):
                yield from _below(folder, f"{name}/")
