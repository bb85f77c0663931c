"""The values that cross between Lua and Python, and the conversion of other Python values."""

from __future__ import annotations

import dataclasses
import enum
import sys
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NoReturn, TypeAlias

Value: TypeAlias = Any
"""None, bool, int, float, str, bytes, list of values, or dict with str, int or float keys.

In Lua: nil, boolean, integer, float, string (bytes are strings that are not UTF-8) and table.
None in a dict is an absent key, None in a list is `JSON.null`. An empty Lua table arrives as [].
"""


class LuaFunction:
    """A reference to a function of a spell, valid as long as the effect it was passed to.

    `retain()` keeps it until `release()`, or until the run ends.
    """

    __slots__ = ("id", "retained")

    def __init__(self, id: int) -> None:  # noqa: A002 - it is the id
        self.id = id
        self.retained = False

    def retain(self) -> LuaFunction:
        self.retained = True
        return self

    def __repr__(self) -> str:
        return f"<Lua function {self.id}>"


class NotPlain(TypeError):
    """A Python value that has no counterpart in Lua."""


_ATOMS = frozenset((type(None), bool, int, float, str, bytes, LuaFunction))
MAX_DEPTH = 64


def plain(value: Any, depth: int = 0) -> Value:  # noqa: PLR0911 - one return per kind of value
    """Convert a Python object to a plain value.

    Pydantic models and dataclasses become dicts, dates ISO 8601 strings, enums their values,
    other sequences and sets lists, and paths, pydantic's URLs, UUIDs and decimals strings.

    Raises:
        NotPlain: For anything else, for keys that no table can have, and for cyclic values.
    """
    if type(value) in _ATOMS:
        return value
    if depth > MAX_DEPTH:
        raise NotPlain("the value is nested too deeply, or contains itself")
    if type(value) is dict or isinstance(value, Mapping):  # the first is faster
        return {
            k if type(k) is str else _key(k): v if type(v) in _ATOMS else plain(v, depth + 1)
            for k, v in value.items()
        }
    if isinstance(value, enum.Enum):
        return plain(value.value, depth + 1)
    if isinstance(value, (int, float, str, bytes, bytearray, memoryview)):
        return _atom(value)
    if isinstance(value, (Sequence, AbstractSet)):
        return [plain(item, depth + 1) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {f.name: plain(getattr(value, f.name), depth + 1) for f in fields}
    dump = getattr(value, "model_dump", None)
    if callable(dump) and not isinstance(value, type):
        try:
            fields = dump(mode="json")
        except ValueError as error:
            raise NotPlain(
                f"a value of type {type(value).__qualname__} has no JSON form: {error}"
            ) from error
        return plain(fields, depth + 1)
    return _text(value)


def _atom(
    value: float | str | bytes | bytearray | memoryview,
) -> float | str | bytes:
    """Convert an instance of a subclass to the built-in type."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    return next(kind(value) for kind in (int, float, str) if isinstance(value, kind))


def _key(key: Any) -> str | int | float | bytes:
    if isinstance(key, enum.Enum):
        key = key.value
    if type(key) is bool or not isinstance(key, (str, int, float, bytes)) or key != key:  # noqa: PLR0124 - NaN
        raise NotPlain(f"a table cannot have the key {key!r}")
    return _atom(key)


def _text(value: Any) -> str:
    import datetime as dt
    import decimal
    import pathlib
    import uuid

    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, (pathlib.PurePath, uuid.UUID, decimal.Decimal)):
        return str(value)
    # An object of pydantic's URL class implies that pydantic is imported.
    if (pydantic := sys.modules.get("pydantic")) and isinstance(value, pydantic.AnyUrl):
        return str(value)
    raise NotPlain(f"a value of type {type(value).__qualname__} cannot be passed to Lua")


def text_or_bytes(data: bytes) -> str | bytes:
    """Convert a Lua string: text if it is UTF-8, else bytes."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def as_bytes(text: str | bytes) -> bytes:
    """Convert text back to the bytes of the Lua string."""
    return text.encode() if isinstance(text, str) else text


def size_in_bytes(text: str | bytes) -> int:
    """Return the length of a text in UTF-8."""
    return len(text) if text.isascii() else len(as_bytes(text))


def is_encodable(text: str) -> bool:
    """Return False for a text with a lone surrogate, which cannot be encoded as UTF-8."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def encodable(text: str) -> str:
    r"""Return a text with lone surrogates escaped as in JSON, such as `\ud83d`."""
    return text.encode("utf-8", "backslashreplace").decode()


def lone_surrogate_in(arguments: dict[str, Value]) -> str | None:
    """Return where a text with a lone surrogate is, such as `path` or `rows.2`; None for nowhere."""
    rest: list[tuple[str, Value]] = list(arguments.items())
    while rest:
        place, value = rest.pop()
        if not is_encodable(place):
            return ascii(place)[1:-1]
        if isinstance(value, dict):
            rest += [(f"{place}.{name}", item) for name, item in value.items()]
        elif isinstance(value, list):
            rest += [(f"{place}.{index}", item) for index, item in enumerate(value)]
        elif isinstance(value, str) and not is_encodable(value):
            return place
    return None


def refuse_in_json(value: object) -> NoReturn:
    """Raise TypeError: the `default` of `json.dumps` for plain values, which names Lua's kinds."""
    kind = "function" if isinstance(value, LuaFunction) else "string that is not UTF-8"
    raise TypeError(f"a {kind} has no JSON form")


def in_order(value: Value) -> Value:
    """Return the value with the keys of its tables sorted, since Lua tables have no order."""
    if isinstance(value, dict):
        return {key: in_order(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list):
        return [in_order(item) for item in value]
    return value


def as_text(value: Value) -> str:
    """Return a Lua string as text for display, escaping invalid bytes."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def legible(value: Value) -> Value:
    """Return the value sorted, and with text in place of bytes and functions, for JSON."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, LuaFunction):
        return "<function>"
    if isinstance(value, dict):
        return {legible(key): legible(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list):
        return [legible(item) for item in value]
    return value
