"""Encodes values as bytes, the only form in which anything enters or leaves a Lua state.

A value is a tag followed by its content; all integers are little-endian:

    n t f            nil, true, false
    i                64-bit integer
    d                64-bit float
    s                32-bit length, bytes (UTF-8 where valid; other bytes arrive as `bytes`)
    A                32-bit count, that many values: a list
    0                an empty table
    T … e            alternating keys and values: a table
    F                64-bit integer, below 2^32: a reference to a function of the spell

Decoding trusts nothing: the bytes may come from a process that a hostile spell has taken over.

Python finds strings by a secret hash, but numbers by their own values, which can be chosen such that
each insertion into a dict looks at all entries. So the numbers that are keys are limited.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, NoReturn

from llmspell.stack_room import LARGE, with_room
from llmspell.values import MAX_DEPTH, LuaFunction, NotPlain, Value

_KEYS = frozenset({str, int, float, bytes})
MAX_NUMBER_KEYS = 1 << 15
"""The limit for keys in one value that are numbers, see the module. Lists have none."""

# Each is packed after its tag.
_pack_count, _pack_integer, _pack_float = (Struct(f"<c{kind}").pack for kind in "Iqd")
_count_at, _integer_at, _float_at = (Struct(f"<{kind}").unpack_from for kind in "Iqd")


# Cache of encoded short texts: mostly names, which repeat.
_short: dict[Value, bytes] = {}
_MAX_SHORT, _LONGEST_SHORT = 1000, 40


class MalformedMessage(Exception):
    """The bytes are not something that an intact kernel sends."""


class Found:
    """What `decode` finds in values: the functions, and how many more keys may be numbers.

    Attributes:
        left: How many more entries lists and tables may have.
        is_limited: Whether there is a limit to those.
    """

    __slots__ = ("functions", "is_limited", "left", "number_keys_left")

    def __init__(self, number_keys: float = MAX_NUMBER_KEYS, left: float = math.inf) -> None:
        self.functions: list[LuaFunction] = []
        self.number_keys_left = number_keys
        self.left, self.is_limited = left, left < math.inf

    def take(self, entries: int) -> None:
        """Count that many entries. Raises MalformedMessage if there are too many."""
        self.left -= entries
        if self.left < 0:
            raise MalformedMessage("it has more values than the memory of the spell")


def encode(value: Value, limit: int = 1 << 26) -> bytes:
    """Encode a plain value as bytes.

    An integer beyond 64 bits becomes a float, as in Lua.

    Raises:
        NotPlain: The value is not plain, is nested too deeply, or takes more than `limit` bytes.
    """
    kind = type(value)
    data: bytes | None
    if kind in _CONTAINERS:
        data = _joined(value, min(limit, LARGE)) or with_room(lambda: _joined(value, limit))
    else:
        data = _ATOMS[kind](value)
    if data is None or len(data) > limit:
        raise NotPlain(f"the value is too large for Lua (more than {limit} bytes)")
    return data


class _TooLarge(Exception):
    pass


def _joined(value: Any, limit: int) -> bytes | None:
    """Encode a list or table; return None if that takes more than `limit` bytes."""
    pieces: list[bytes] = []
    try:
        _CONTAINERS[type(value)](value, pieces, limit, 0)
    except _TooLarge:
        return None
    return b"".join(pieces)


# The functions that append the pieces of a list or table, of which it may take `room` bytes, return
# how many are left.


def _append_list(items: Sequence[Value], pieces: list[bytes], room: int, depth: int) -> int:
    if depth >= MAX_DEPTH:
        raise _too_deep()
    pieces.append(_pack_count(b"A", len(items)))
    room -= 5
    for item in items:
        kind = type(item)
        if kind in _CONTAINERS:
            room = _CONTAINERS[kind](item, pieces, room, depth + 1)
        else:
            piece = _ATOMS[kind](item)
            pieces.append(piece)
            room -= len(piece)
        if room < 0:
            raise _TooLarge
    return room


def _append_table(table: dict[Value, Value], pieces: list[bytes], room: int, depth: int) -> int:
    if depth >= MAX_DEPTH:
        raise _too_deep()
    pieces.append(b"T")
    room -= 2
    for key, item in table.items():
        name = _short.get(key) or _encode_key(key)
        pieces.append(name)
        kind = type(item)
        if kind in _CONTAINERS:
            room = _CONTAINERS[kind](item, pieces, room - len(name), depth + 1)
        else:
            piece = _ATOMS[kind](item)
            pieces.append(piece)
            room -= len(name) + len(piece)
        if room < 0:
            raise _TooLarge
    pieces.append(b"e")
    return room


_CONTAINERS: dict[type, Callable[[Any, list[bytes], int, int], int]] = {
    list: _append_list,
    tuple: _append_list,
    dict: _append_table,
}


def _too_deep() -> NotPlain:
    return NotPlain("the value is nested too deeply, or contains itself")


def _encode_key(key: Value) -> bytes:
    if isinstance(key, str):  # the cache finds instances of subclasses too
        return _encode_text(str.__str__(key))
    if type(key) in _KEYS and key == key:  # noqa: PLR0124 - NaN
        return _ATOMS[type(key)](key)
    raise NotPlain(f"a table cannot have the key {key!r}")


def _encode_text(value: str) -> bytes:
    piece = _short.get(value)
    if piece is None:
        try:
            data = value.encode()
        except UnicodeEncodeError:
            data = _not_text(value)
        piece = _pack_count(b"s", len(data)) + data
        if len(piece) <= _LONGEST_SHORT:
            if len(_short) >= _MAX_SHORT:
                _short.clear()
            _short[value] = piece
    return piece


def _encode_integer(value: int) -> bytes:
    try:
        return _pack_integer(b"i", value)
    except struct.error:
        return _pack_float(b"d", _as_float(value))


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


class _Atoms(dict[type, Callable[[Any], bytes]]):
    """The functions that encode a value of a type."""

    def __missing__(self, kind: type) -> NoReturn:
        raise NotPlain(f"a value of type {kind.__qualname__} cannot be passed to Lua")


_ATOMS = _Atoms(
    {
        type(None): lambda _: b"n",
        bool: lambda value: b"t" if value else b"f",
        int: _encode_integer,
        float: lambda value: _pack_float(b"d", value),
        str: _encode_text,
        bytes: lambda value: _pack_count(b"s", len(value)) + value,
        LuaFunction: lambda function: _pack_integer(b"F", function.id),
    }
)


def _not_text(value: str) -> bytes:
    """Encode a text with lone surrogates, as which Python represents bytes that are not UTF-8."""
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # it has others, which JSON can hold
        return value.encode("utf-8", "surrogatepass")


def decode(  # noqa: PLR0911 - one return per tag
    data: bytes, at: int, found: Found, depth: int = 0
) -> tuple[Value, int]:
    """Decode the value at a position, adding to `found`; return it and the position after it.

    Raises:
        MalformedMessage, struct.error, IndexError: There is no complete value at that position.
    """
    tag = data[at]
    at += 1
    if tag == 0x73:  # s
        return _text(data, at)
    if tag == 0x69:  # i
        return _integer_at(data, at)[0], at + 8
    if tag == 0x54:  # T
        return _table(data, at, found, depth)
    if tag == 0x30:  # 0
        return [], at
    if tag == 0x41:  # A
        return _list(data, at, found, depth)
    if tag == 0x6E:  # n
        return None, at
    if tag == 0x74:  # t
        return True, at
    if tag == 0x66:  # f
        return False, at
    if tag == 0x64:  # d
        return _float_at(data, at)[0], at + 8
    if tag == 0x46:  # F
        number = _integer_at(data, at)[0]
        if number >> 32:
            raise MalformedMessage(f"no function has the number {number}")
        function = LuaFunction(number)
        found.functions.append(function)
        return function, at + 8
    raise MalformedMessage(f"unknown tag {tag}")


def _text(data: bytes, at: int) -> tuple[str | bytes, int]:
    end = at + 4 + _count_at(data, at)[0]
    if end > len(data):
        raise MalformedMessage("a string runs past the end")
    text = data[at + 4 : end]
    try:
        return text.decode(), end
    except UnicodeDecodeError:
        return text, end


def _list(data: bytes, at: int, found: Found, depth: int) -> tuple[list[Value], int]:
    count = _count_at(data, at)[0]
    _check_depth(depth)
    found.take(count)
    at += 4
    items = []
    for _ in range(count):
        item, at = decode(data, at, found, depth + 1)
        items.append(item)
    return items, at


def _table(data: bytes, at: int, found: Found, depth: int) -> tuple[dict[Value, Value], int]:
    _check_depth(depth)
    table: dict[Value, Value] = {}
    while (tag := data[at]) != 0x65:  # e
        if tag == 0x73:  # s, the most common case
            key, at = _text(data, at + 1)
        else:
            key, at = decode(data, at, found, depth + 1)
            _check_key(key, found)
        table[key], at = decode(data, at, found, depth + 1)
        if found.is_limited:
            found.take(1)
    return table, at + 1


def _check_key(key: Value, found: Found) -> None:
    if type(key) not in _KEYS or key != key:  # noqa: PLR0124 - NaN
        raise MalformedMessage(f"a {type(key).__name__} as key")
    if type(key) is not bytes:
        found.number_keys_left -= 1
        if found.number_keys_left < 0:
            raise MalformedMessage("too many numbers as keys")


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH + 1:
        raise MalformedMessage("nested too deeply")
