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
from struct import Struct

from llmspell.values import MAX_DEPTH, LuaFunction, NotPlain, Value

_KEYS = frozenset({str, int, float, bytes})
MAX_NUMBER_KEYS = 1 << 15
"""The limit for keys in one value that are numbers, see the module. Lists have none."""

_COUNT, _INTEGER, _FLOAT = Struct("<I"), Struct("<q"), Struct("<d")
_pack_count, _pack_integer, _pack_float = _COUNT.pack, _INTEGER.pack, _FLOAT.pack
_count_at, _integer_at, _float_at = _COUNT.unpack_from, _INTEGER.unpack_from, _FLOAT.unpack_from


# Cache of encoded short keys: they are names, which repeat.
_names: dict[Value, bytes] = {}
_MAX_NAMES, _LONGEST_NAME = 1000, 40


class MalformedMessage(Exception):
    """The bytes are not something that an intact kernel sends."""


class Found:
    """What `decode` finds in values: the functions, and how many more keys may be numbers.

    Attributes:
        left: How many more entries tables may have.
    """

    __slots__ = ("functions", "left", "number_keys_left")

    def __init__(self, number_keys: float = MAX_NUMBER_KEYS, left: float = math.inf) -> None:
        self.functions: list[LuaFunction] = []
        self.number_keys_left = number_keys
        self.left = left

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
    if value is None:
        return b"n"
    out = bytearray()
    _encode(value, out, 0, limit)
    return bytes(out)


def _encode(value: Value, out: bytearray, depth: int, limit: int) -> None:
    kind = type(value)
    if kind is str:
        out += _names.get(value) or _string(value)
    elif value is None:
        out += b"n"
    elif kind is bool:
        out += b"t" if value else b"f"
    elif kind is int:
        out += _integer(value)
    elif kind is float:
        out += b"d" + _pack_float(value)
    elif kind is dict:
        _check(depth, out, limit)
        out += b"T"
        for key, item in value.items():
            out += _names.get(key) or _key(key)
            if type(item) is str:  # the most common case
                out += _names.get(item) or _string(item)
            else:
                _encode(item, out, depth + 1, limit)
        out += b"e"
    elif kind is list or kind is tuple:
        _check(depth, out, limit)
        out += b"A" + _pack_count(len(value))
        for item in value:
            if type(item) is str:
                out += _names.get(item) or _string(item)
            else:
                _encode(item, out, depth + 1, limit)
    elif kind is bytes:
        out += b"s" + _pack_count(len(value)) + value
    elif kind is LuaFunction:
        out += b"F" + _pack_integer(value.id)
    else:
        raise NotPlain(f"a value of type {kind.__qualname__} cannot be passed to Lua")
    if len(out) > limit:
        raise NotPlain(f"the value is too large for Lua (more than {limit} bytes)")


def _check(depth: int, out: bytearray, limit: int) -> None:
    if depth >= MAX_DEPTH:
        raise NotPlain("the value is nested too deeply, or contains itself")
    if len(out) > limit:
        raise NotPlain(f"the value is too large for Lua (more than {limit} bytes)")


def _integer(value: int) -> bytes:
    if -(1 << 63) <= value < 1 << 63:
        return b"i" + _pack_integer(value)
    try:
        return b"d" + _pack_float(float(value))
    except OverflowError:
        return b"d" + _pack_float(float("inf") if value > 0 else float("-inf"))


def _string(value: str) -> bytes:
    try:
        data = value.encode()
    except UnicodeEncodeError:
        data = _not_text(value)
    return b"s" + _pack_count(len(data)) + data


def _not_text(value: str) -> bytes:
    """Encode a text with lone surrogates, as which Python represents bytes that are not UTF-8."""
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # it has others, which JSON can hold
        return value.encode("utf-8", "surrogatepass")


def _key(key: Value) -> bytes:
    if type(key) is str:
        piece = _string(key)
        if len(piece) <= _LONGEST_NAME:
            if len(_names) >= _MAX_NAMES:
                _names.clear()
            _names[key] = piece
        return piece
    if type(key) in _KEYS and key == key:  # noqa: PLR0124 - NaN
        return encode(key)
    raise NotPlain(f"a table cannot have the key {key!r}")


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
    _enter(depth)
    found.take(count)
    at += 4
    items = []
    for _ in range(count):
        item, at = decode(data, at, found, depth + 1)
        items.append(item)
    return items, at


def _table(data: bytes, at: int, found: Found, depth: int) -> tuple[dict[Value, Value], int]:
    _enter(depth)
    table: dict[Value, Value] = {}
    while data[at] != 0x65:  # e
        key, at = decode(data, at, found, depth + 1)
        if type(key) is not str:
            _check_key(key, found)
        table[key], at = decode(data, at, found, depth + 1)
        found.left -= 1
        if found.left < 0:
            found.take(0)
    return table, at + 1


def _check_key(key: Value, found: Found) -> None:
    if type(key) not in _KEYS or key != key:  # noqa: PLR0124 - NaN
        raise MalformedMessage(f"a {type(key).__name__} as key")
    if type(key) is not bytes:
        found.number_keys_left -= 1
        if found.number_keys_left < 0:
            raise MalformedMessage("too many numbers as keys")


def _enter(depth: int) -> None:
    if depth > MAX_DEPTH + 1:
        raise MalformedMessage("nested too deeply")
