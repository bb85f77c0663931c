"""Reads tables field by field, with checks and errors that name the field.

An empty list is accepted as an empty table, since Lua does not distinguish them.
"""

from __future__ import annotations

from typing import Any

from llmspell.values import Value


class Malformed(Exception):
    """A malformed value; the message begins with its place."""


class Fields:
    """A table, and its place in the value it is part of."""

    __slots__ = ("place", "table")

    def __init__(self, value: Value, place: str) -> None:
        if value == []:
            value = {}
        if not isinstance(value, dict):
            raise Malformed(f"{place or 'it'} must be a table")
        self.table, self.place = value, place

    def at(self, name: str) -> str:
        return f"{self.place}.{name}" if self.place else name

    def only(self, *names: str) -> None:
        """Reject any other fields: most are misspelt."""
        for name in self.table:
            if name not in names:
                raise Malformed(
                    f"{self.at(str(name))} is not a field; fields are {', '.join(names)}"
                )

    def text(self, name: str, default: str | None = None) -> str:
        """Return a string; required if there is no default."""
        value = self.table.get(name)
        if type(value) is str:  # the fast path
            return value
        value = self.optional_text(name)
        if value is None:
            value = default
        if value is None:
            raise Malformed(f"{self.at(name)} is required")
        return value

    def optional_text(self, name: str) -> str | None:
        value = self.table.get(name)
        if isinstance(value, bytes):
            raise Malformed(f"{self.at(name)} is not UTF-8 text")
        if value is not None and not isinstance(value, str):
            raise Malformed(f"{self.at(name)} must be a string")
        return value

    def data(self, name: str) -> bytes | None:
        """Return a Lua string as bytes; one that happens to be UTF-8 arrives as str."""
        value = self.table.get(name)
        if isinstance(value, str):
            return value.encode("utf-8", "surrogatepass")
        if value is not None and not isinstance(value, bytes):
            raise Malformed(f"{self.at(name)} must be a byte string")
        return value

    def flag(self, name: str) -> bool:
        return self.optional_flag(name) or False

    def optional_flag(self, name: str) -> bool | None:
        value = self.table.get(name)
        if value is not None and not isinstance(value, bool):
            raise Malformed(f"{self.at(name)} must be true or false")
        return value

    def number(self, name: str) -> float | None:
        value = self.table.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Malformed(f"{self.at(name)} must be a number")
        return value

    def integer(self, name: str, least: int) -> int | None:
        """Return an integer; Lua may have made a float of it."""
        value = self.table.get(name)
        if type(value) is int and value >= least:  # the fast path
            return value
        value = self.number(name)
        if value is None:
            return None
        if value != value // 1 or value < least:
            raise Malformed(f"{self.at(name)} must be a whole number, {least} or more")
        return int(value)

    def optional_dict(self, name: str) -> dict[str, Any] | None:
        value = self.table.get(name)
        if value == []:
            return {}
        if value is not None and not isinstance(value, dict):
            raise Malformed(f"{self.at(name)} must be a table")
        return value

    def items(self, name: str) -> list[Value]:
        value = self.table.get(name, [])
        if not isinstance(value, (list, tuple)):
            raise Malformed(f"{self.at(name)} must be a list")
        return list(value)
