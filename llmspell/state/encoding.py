"""Encodes plain values as JSON without loss: decoding gives back exactly what was encoded.

Ordinary values are ordinary JSON. Others are objects with a single key, a tag:

    {"$bytes": "AP8="}                 bytes, in base64
    {"$number": "inf"}                 inf, -inf or nan
    {"$table": [[1, "a"], [2.5, "b"]]} a table with keys other than strings, or an ordinary table
                                       that would be mistaken for one of these three
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterable
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any

from llmspell.errors import StateError
from llmspell.values import MAX_DEPTH, LuaFunction, Value

MAX_BYTES = 8 * 1024 * 1024
_TAGS = {"$bytes", "$number", "$table"}
_INTEGERS = range(-(2**63), 2**63)

_STRINGS, _TABLES = {str}, {dict, list}

Write = Callable[[str], None]
Quoted = Callable[[str], str]


def encode(value: Value, most: int = MAX_BYTES, *, in_order: bool = False) -> str:
    """Encode a value as text that can be written as UTF-8.

    Args:
        value: A plain value.
        most: The most bytes.
        in_order: Whether to sort the keys of tables, as text, instead of keeping their order.

    Raises:
        StateError: The value is not plain, an integer has more than 64 bits, tables are nested more
            than 64 deep, or the text has more than `most` bytes.
    """
    text = _text(value, encode_basestring, in_order)
    size = len(text)
    if not text.isascii():
        try:
            size = len(text.encode())
        except UnicodeEncodeError:  # a lone surrogate, which JSON can only escape
            text = _text(value, encode_basestring_ascii, in_order)
            size = len(text)
    if size > most:
        raise StateError(
            f"a value of {size:,} bytes cannot be stored: the maximum is {most:,}",
            hint="store it in parts under several keys, or write it to a file",
            details={"bytes": size, "limit": most},
        )
    return text


def decode(text: str) -> Value:
    """Decode a text that `encode` has made.

    Raises:
        StateError: The text was not made by `encode`.
    """
    try:
        return json.loads(text, object_hook=_untagged if '{"$' in text else None)
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise StateError(
            f"a stored value is damaged: {error}", hint="delete the key, or set it again"
        ) from error


def _text(value: Value, quoted: Quoted, in_order: bool) -> str:
    if type(value) not in _TABLES:
        return _atom(value, quoted)
    pieces: list[str] = []
    _put(value, 0, pieces.append, quoted, in_order)
    return "".join(pieces)


def _put(value: Value, depth: int, write: Write, quoted: Quoted, in_order: bool) -> None:
    """Write a value piece by piece; `depth` is the number of enclosing tables."""
    kind = type(value)
    if kind is dict:
        _put_table(value, _deeper(depth), write, quoted, in_order)
    elif kind is list:
        _put_list(value, _deeper(depth), write, quoted, in_order)
    else:
        write(_atom(value, quoted))


def _put_list(items: list[Value], depth: int, write: Write, quoted: Quoted, in_order: bool) -> None:
    before = "["
    for item in items:
        write(before)
        _put(item, depth, write, quoted, in_order)
        before = ","
    write("]" if items else "[]")


def _put_table(
    table: dict[Any, Value], depth: int, write: Write, quoted: Quoted, in_order: bool
) -> None:
    keys = sorted(table, key=str) if in_order and len(table) > 1 else table
    if not _STRINGS.issuperset(map(type, table)) or (len(table) == 1 and _TAGS & table.keys()):
        _put_pairs(table, keys, depth, write, quoted, in_order)
        return
    before = "{"
    for key in keys:
        item = table[key]
        if type(item) in _TABLES:
            write(f"{before}{quoted(key)}:")
            _put(item, depth, write, quoted, in_order)
        else:
            write(f"{before}{quoted(key)}:{_atom(item, quoted)}")
        before = ","
    write("}" if table else "{}")


def _put_pairs(
    table: dict[Any, Value],
    keys: Iterable[Any],
    depth: int,
    write: Write,
    quoted: Quoted,
    in_order: bool,
) -> None:
    before = '{"$table":[['
    for key in keys:
        write(before + _atom(_key(key), quoted))
        write(",")
        _put(table[key], depth, write, quoted, in_order)
        before = "],["
    write("]]}")


def _deeper(depth: int) -> int:
    if depth >= MAX_DEPTH:
        raise StateError(
            "a table that is nested too deeply, or contains itself, cannot be stored",
            hint=f"the maximum is {MAX_DEPTH} levels",
        )
    return depth + 1


def _atom(value: Value, quoted: Quoted) -> str:
    kind = type(value)
    if kind is str:
        return quoted(value)
    if kind is int:
        if value not in _INTEGERS:
            raise StateError(
                "an integer of more than 64 bits cannot be stored",
                hint="store it as a string or a float",
            )
        return str(value)
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if kind is float:
        return repr(value) if math.isfinite(value) else f'{{"$number":"{value!r}"}}'
    if kind is bytes:
        return f'{{"$bytes":"{base64.b64encode(value).decode()}"}}'
    what = "function" if kind is LuaFunction else f"value of type {kind.__name__}"
    raise StateError(
        f"a {what} cannot be stored",
        hint="a store accepts nil, booleans, numbers, strings, and tables of these",
    )


def _key(key: Any) -> Any:
    if type(key) not in (str, int, float, bytes) or key != key:  # noqa: PLR0124 - NaN
        raise StateError(
            f"a table with the key {key!r} cannot be stored", hint="keys are strings or numbers"
        )
    return key


def _untagged(table: dict[str, Any]) -> Any:
    if len(table) == 1:
        ((tag, content),) = table.items()
        if tag == "$bytes":
            return base64.b64decode(content, validate=True)
        if tag == "$number":
            return float(content)
        if tag == "$table":
            return {_key(key): item for key, item in content}
    return table


def same(left: Value, right: Value) -> bool:
    """Return whether two plain values are equal as Lua sees them, comparing tables by contents.

    Lua has one empty table, so an empty list equals an empty dict. Unlike in Lua, nan equals nan,
    so that a value read from a store equals itself.
    """
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, (list, dict)) and isinstance(right, (list, dict)):
        return not left and not right
    return bool(left == right) or (left != left and right != right)  # noqa: PLR0124 - NaN


def added(old: Value, by: float) -> int | float:
    """Return the sum that `increment` stores; a missing number counts as 0.

    Raises:
        StateError: One of them is not a number.
    """
    old = 0 if old is None else old
    for number in (old, by):
        if type(number) not in (int, float):
            raise StateError(
                f"cannot add {old!r:.80} and {by!r:.80}: one is not a number",
                hint="increment works on numbers; use update for other values",
            )
    total: int | float = old + by
    return total
