"""A string that does not print itself: for bearer tokens and credentials on their way through the gateway."""

from __future__ import annotations

from typing import final


@final
class Secret:
    """Secret material. `str()`, `repr()` and formatting show a placeholder; `reveal()` is the one way to the value."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself; grep for callers of this to see every place one leaves the process."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(("Secret", self._value))
