"""Text from anywhere, made safe for a terminal: it moves no cursor, hides nothing, turns nothing around (B-88)."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text on one line, with control, bidirectional and other invisible characters as escapes (CVE-2021-25743)."""
    return text if text.isprintable() else "".join(_escaped(character) for character in text)


def printable_lines(text: str) -> str:
    """As `printable`, line by line; tabs stay."""
    return "\n".join("\t".join(printable(part) for part in line.split("\t")) for line in text.split("\n"))


def _escaped(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]
