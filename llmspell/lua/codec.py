"""Values as bytes: the only form in which anything leaves or enters a Lua state.

A value is a tag and what the tag asks for, all integers little-endian:

    n t f            nil, true, false
    i                64-bit integer
    d                64-bit float
    s                32-bit length, bytes (UTF-8 where they are; other bytes arrive as `bytes`)
    A                32-bit count, that many values: a list
    T … e            keys and values in turn: a table
    F                64-bit integer that stands for a function of the spell

Decoding trusts nothing: the bytes may come from a process that a hostile spell took over.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError

from llmspell.values import MAX_DEPTH, LuaFunction, NotPlain, Value

MAX_PARTS = 1_000_000

_COUNT, _INTEGER, _FLOAT = Struct("<I"), Struct("<q"), Struct("<d")
_pack_count, _pack_integer, _pack_float = _COUNT.pack, _INTEGER.pack, _FLOAT.pack
_count_at, _integer_at, _float_at = _COUNT.unpack_from, _INTEGER.unpack_from, _FLOAT.unpack_from


class MalformedMessage(Exception):
    """Bytes that no intact kernel sends."""


def encode(value: Value, limit: int = 1 << 26) -> bytes:
    """The bytes of a plain value.

    An integer beyond 64 bits becomes a float, as it would in Lua.

    Raises:
        NotPlain: When the value is not plain, too deep, or has more than `limit` bytes.
    """
    out = bytearray()
    _encode(value, out, 0, limit)
    return bytes(out)


def _encode(value: Value, out: bytearray, depth: int, limit: int) -> None:
    kind = type(value)
    if kind is str:
        data = value.encode("utf-8", "surrogatepass")
        out += b"s" + _pack_count(len(data)) + data
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
            _encode_key(key, out)
            _encode(item, out, depth + 1, limit)
        out += b"e"
    elif kind is list or kind is tuple:
        _check(depth, out, limit)
        out += b"A" + _pack_count(len(value))
        for item in value:
            _encode(item, out, depth + 1, limit)
    elif kind is bytes:
        out += b"s" + _pack_count(len(value)) + value
    elif kind is LuaFunction:
        out += b"F" + _pack_integer(value.id)
    else:
        raise NotPlain(f"a {kind.__qualname__} cannot be passed to Lua")
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
        return b"d" + _pack_float(value)
    except OverflowError:
        return b"d" + _pack_float(float("inf") if value > 0 else float("-inf"))


def _encode_key(key: Value, out: bytearray) -> None:
    if type(key) is str:
        data = key.encode("utf-8", "surrogatepass")
        out += b"s" + _pack_count(len(data)) + data
    elif type(key) in (int, float, bytes) and key == key:  # noqa: PLR0124 - NaN
        _encode(key, out, 0, 1 << 62)
    else:
        raise NotPlain(f"a table cannot have the key {key!r}")


class Decoder:
    """Reads values off one message, in order.

    Attributes:
        position: Where the next value begins.
        functions: The functions met so far.
    """

    __slots__ = ("data", "functions", "parts", "position")

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data, self.position = data, position
        self.functions: list[LuaFunction] = []
        self.parts = 0

    @property
    def exhausted(self) -> bool:
        return self.position >= len(self.data)

    def value(self) -> Value:
        """The next value. Raises MalformedMessage."""
        try:
            value, self.position = self._value(self.position, 0)
        except (StructError, IndexError) as error:
            raise MalformedMessage(str(error)) from error
        return value

    def _value(self, at: int, depth: int) -> tuple[Value, int]:  # noqa: PLR0911 - one a tag
        tag = self.data[at]
        at += 1
        if tag == 0x73:  # s
            return self._text(at)
        if tag == 0x69:  # i
            return _integer_at(self.data, at)[0], at + 8
        if tag == 0x54:  # T
            return self._table(at, depth)
        if tag == 0x41:  # A
            return self._list(at, depth)
        if tag == 0x6E:  # n
            return None, at
        if tag == 0x74:  # t
            return True, at
        if tag == 0x66:  # f
            return False, at
        if tag == 0x64:  # d
            return _float_at(self.data, at)[0], at + 8
        if tag == 0x46:  # F
            function = LuaFunction(_integer_at(self.data, at)[0])
            self.functions.append(function)
            return function, at + 8
        raise MalformedMessage(f"unknown tag {tag}")

    def _text(self, at: int) -> tuple[str | bytes, int]:
        end = at + 4 + _count_at(self.data, at)[0]
        data = self.data[at + 4 : end]
        if end > len(self.data):
            raise MalformedMessage("a string runs past the end")
        try:
            return data.decode(), end
        except UnicodeDecodeError:
            return data, end

    def _list(self, at: int, depth: int) -> tuple[list[Value], int]:
        count = _count_at(self.data, at)[0]
        self._enter(depth, count)
        at += 4
        items = []
        for _ in range(count):
            item, at = self._value(at, depth + 1)
            items.append(item)
        return items, at

    def _table(self, at: int, depth: int) -> tuple[dict[Value, Value], int]:
        self._enter(depth, 0)
        table: dict[Value, Value] = {}
        while self.data[at] != 0x65:  # e
            self._enter(depth, 1)
            key, at = self._value(at, depth + 1)
            if type(key) not in (str, int, float, bytes):
                raise MalformedMessage(f"a {type(key).__name__} as key")
            table[key], at = self._value(at, depth + 1)
        return table, at + 1

    def _enter(self, depth: int, more: int) -> None:
        self.parts += more
        if depth > MAX_DEPTH + 1 or self.parts > MAX_PARTS:
            raise MalformedMessage("nested too deeply or too many parts")
