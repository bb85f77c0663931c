"""Values as the journal stores them: as text, and what is large or comes again only once.

A text of more than `INLINE` characters becomes a blob under its digest. An argument that is a list
of tables, such as the messages of a conversation, becomes a chain: each link has the digest of the
one before and an item, so that a list which another one begins with costs nothing more.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Container, Mapping
from hashlib import blake2b
from struct import Struct
from typing import Any, Protocol

from llmspell.state.encoding import encode
from llmspell.values import LuaFunction, Value

INLINE = 400
PACK = 200  # bytes from which packing is tried
LONGEST = 1 << 28

Stored = str | bytes
"""A text, or the digest of a blob."""

Row = tuple[str, tuple[Any, ...]]
"""A statement and its parameters. What is stored by content has its digest first."""

BLOB = "INSERT OR IGNORE INTO blobs VALUES (?, ?, ?)"
LINK = "INSERT OR IGNORE INTO links VALUES (?, ?, ?)"

_INTEGERS = range(-(2**63), 2**63)
_length = Struct("<Q").pack


def digest(*parts: bytes) -> bytes:
    """What stands for some bytes: 16 of them."""
    framed = b""
    for part in parts:
        framed += _length(len(part)) + part
    return blake2b(framed, digest_size=16).digest()


def digest_of(name: str, args: str, lists: str | None) -> bytes:
    """What stands for the name of an effect and its arguments as they are stored."""
    return digest(bytes_of(name), bytes_of(args), bytes_of(lists or ""))


class TextOf(Protocol):
    """Gives a value's text, as `text_of` does."""

    def __call__(self, value: Value, *, in_order: bool = False) -> str: ...


def text_of(value: Value, *, in_order: bool = False) -> str:
    """A value as JSON, its tables `in_order` of their keys if that is asked for.

    A function of Lua is a word for it, and a huge integer what Lua would see.
    """
    if value is None:
        return "null"
    try:
        return encode(value, LONGEST, in_order=in_order)
    except Exception:  # noqa: BLE001 - it says what cannot be stored, which is then replaced
        return encode(_storable(value), LONGEST, in_order=in_order)


def bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def text_in(data: bytes) -> str:
    """The text that bytes stand for. Raises UnicodeDecodeError."""
    return data.decode("utf-8", "surrogatepass")


def _storable(value: Value) -> Value:
    if isinstance(value, LuaFunction):
        return "<function>"
    if type(value) is int and value not in _INTEGERS:
        return float(value) if abs(value) < 1 << 1023 else float("inf" if value > 0 else "-inf")
    if isinstance(value, dict):
        return {key: _storable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_storable(item) for item in value]
    return value


def stored(text: str, rows: list[Row]) -> Stored:
    """What stands for a text; rows that are to be written with it are appended."""
    if len(text) <= INLINE:
        return text
    return stored_bytes(bytes_of(text), rows)


def stored_bytes(data: bytes, rows: list[Row]) -> bytes:
    """The digest of a blob; the row that holds it is appended."""
    name = digest(data)
    packed = zlib.compress(data, 1) if len(data) > PACK else data
    small = len(packed) < len(data)
    rows.append((BLOB, (name, small, packed if small else data)))
    return name


def content_of(name: bytes, packed: int, data: bytes) -> bytes | None:
    """The content of the blob of that digest; None if it is damaged."""
    try:
        found = _unpacked(data) if packed else data
        return found if digest(found) == name else None
    except (zlib.error, TypeError):
        return None


def _unpacked(data: bytes) -> bytes:
    """What was packed, and never more than can have been."""
    unpacking = zlib.decompressobj()
    found = unpacking.decompress(data, LONGEST + 1)
    if not unpacking.eof or len(found) > LONGEST:
        raise zlib.error("it is larger than what is stored, or its end is missing")
    return found


class Arguments:
    """The arguments of an effect, as they are stored.

    Attributes:
        args: Those that are no chains, as JSON in order.
        lists: Those that are chains, by name: the digest of the last link, in hex; None for none.
        digest: Of the name and all arguments.
        rows: What is to be written with them.
    """

    __slots__ = ("args", "digest", "lists", "rows")

    def __init__(
        self,
        name: str,
        args: Mapping[str, Value],
        text_of: TextOf,
        known: Container[bytes] = (),
    ) -> None:
        """Work them out.

        Args:
            name: The effect's.
            args: Its arguments.
            text_of: Gives a value's text, without secrets.
            known: Digests of links that are written already.
        """
        self.rows: list[Row] = []
        self.lists: str | None = None
        chained = [key for key, value in args.items() if type(value) is list and _is_chain(value)]
        if chained:
            heads = {key: self._chain(args[key], text_of, known).hex() for key in sorted(chained)}
            self.lists = json.dumps(heads)
            args = {key: value for key, value in args.items() if key not in heads}
        text = text_of(args, in_order=True) if args else "{}"
        self.digest = digest_of(name, text, self.lists)
        self.args: Stored = stored(text, self.rows)

    def _chain(self, items: list[Value], text_of: TextOf, known: Container[bytes]) -> bytes:
        last = b""
        for item in items:
            text = text_of(item, in_order=True)
            link = digest(last, bytes_of(text))
            if link not in known:
                kept = stored(text, self.rows)
                self.rows.append((LINK, (link, last, kept)))
            last = link
        return last


def _is_chain(items: list[Value]) -> bool:
    return len(items) > 0 and all(type(item) is dict for item in items)
