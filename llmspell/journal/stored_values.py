"""Encodes values for the journal; large and repeated ones are stored once, by content.

A text of more than `INLINE` characters becomes a blob under its digest. An argument that is a list
of tables, such as the messages of a conversation, becomes a chain: each link has the digest of the
previous link and an item, so lists with a common beginning share its links.
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
PACK = 200  # bytes; anything larger is compressed if that makes it smaller
LONGEST = 1 << 28

Stored = str | bytes
"""A text, or the digest of a blob that holds it."""

Row = tuple[str, tuple[Any, ...]]
"""A statement and its parameters. For content-addressed rows, the digest comes first."""

BLOB = "INSERT OR IGNORE INTO blobs VALUES (?, ?, ?)"
LINK = "INSERT OR IGNORE INTO links VALUES (?, ?, ?)"

_INTEGERS = range(-(2**63), 2**63)
_length = Struct("<Q").pack


def digest(*parts: bytes) -> bytes:
    """Return a 16-byte digest of several byte strings."""
    framed = b""
    for part in parts:
        framed += _length(len(part)) + part
    return blake2b(framed, digest_size=16).digest()


def digest_of(name: str, args: str, lists: str | None) -> bytes:
    """Return the digest of an effect's name and stored arguments."""
    return digest(bytes_of(name), bytes_of(args), bytes_of(lists or ""))


class TextOf(Protocol):
    """Encodes a value as text, like `text_of`."""

    def __call__(self, value: Value, *, in_order: bool = False) -> str: ...


def text_of(value: Value, *, in_order: bool = False) -> str:
    """Encode a value as JSON, with the keys of tables sorted if `in_order`.

    A Lua function becomes "<function>", and an integer beyond 64 bits the float that Lua would see.
    """
    if value is None:
        return "null"
    try:
        return encode(value, LONGEST, in_order=in_order)
    except Exception:  # noqa: BLE001 - whatever cannot be encoded is replaced
        return encode(_storable(value), LONGEST, in_order=in_order)


def bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def text_in(data: bytes) -> str:
    """Decode stored bytes. Raises UnicodeDecodeError."""
    return data.decode("utf-8", "surrogatepass")


def _storable(value: Value) -> Value:
    if isinstance(value, LuaFunction):
        return "<function>"
    if type(value) is int and value not in _INTEGERS:
        return float(value) if abs(value) < 1 << 1023 else float("inf" if value > 0 else "-inf")
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_storable(item) for item in value]
    return value


def stored(text: str, rows: list[Row]) -> Stored:
    """Return a short text as it is, otherwise the digest of a blob whose row is appended to `rows`."""
    if len(text) <= INLINE:
        return text
    return stored_bytes(bytes_of(text), rows)


def stored_bytes(data: bytes, rows: list[Row]) -> bytes:
    """Return the digest of a blob, and append its row to `rows`."""
    name = digest(data)
    packed = zlib.compress(data, 1) if len(data) > PACK else data
    small = len(packed) < len(data)
    rows.append((BLOB, (name, small, packed if small else data)))
    return name


def content_of(name: bytes, packed: int, data: bytes) -> bytes | None:
    """Return the content of the blob with that digest, or None if it is damaged."""
    try:
        found = _unpacked(data) if packed else data
        return found if digest(found) == name else None
    except (zlib.error, TypeError):
        return None


def _unpacked(data: bytes) -> bytes:
    """Decompress a blob, up to the largest size that is ever stored."""
    unpacking = zlib.decompressobj()
    found = unpacking.decompress(data, LONGEST + 1)
    if not unpacking.eof or len(found) > LONGEST:
        raise zlib.error("it is larger than its stored size, or incomplete")
    return found


class Arguments:
    """The arguments of an effect, as they are stored.

    Attributes:
        args: Those that are not chains, as JSON with sorted keys.
        lists: The chains as JSON: argument names and the hex digests of the last links; None if
            none.
        digest: Covers the effect's name and all arguments.
        rows: The rows to write along with them.
    """

    __slots__ = ("args", "digest", "lists", "rows")

    def __init__(
        self,
        name: str,
        args: Mapping[str, Value],
        text_of: TextOf,
        known: Container[bytes] = (),
    ) -> None:
        """Encode the arguments.

        Args:
            name: The effect's name.
            args: Its arguments.
            text_of: Encodes a value as text, without secrets.
            known: Digests of links that have already been written.
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
