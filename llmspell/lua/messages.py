"""What a Lua state and its host tell each other: records, many in one message.

A record is a byte for its kind and what that kind asks for, integers little-endian; values are
as in codec.py, texts have a 16- or 32-bit length in front. A task has one effect outstanding at
most, so a reply is addressed to the task.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError
from typing import NamedTuple

from llmspell.lua.codec import Decoder, MalformedMessage, encode
from llmspell.values import LuaFunction, Value

_HEAD, _SHORT, _LONG, _FUNCTION = Struct("<BI"), Struct("<H"), Struct("<I"), Struct("<q")
_head, _head_at, _short_at = _HEAD.pack, _HEAD.unpack_from, _SHORT.unpack_from

_EFFECT, _CANCEL, _RETURNED, _FAILED, _PRINT = 1, 2, 3, 4, 5
_REPLY, _REFUSAL, _CALL, _RELEASE, _ABORT, _KILL, _MAIN = 1, 2, 3, 4, 5, 6, 7


class Requested(NamedTuple):
    """A task asks for an effect and waits. `functions` are those among the arguments."""

    task: int
    path: str
    name: str
    args: Value
    functions: list[LuaFunction]


class Cancelled(NamedTuple):
    """A task was cancelled in Lua: nobody waits for its effect any more."""

    task: int


class Returned(NamedTuple):
    """The task that answers a call of the host has ended."""

    call: int
    value: Value


class Failed(NamedTuple):
    """The task that answers a call of the host failed.

    `text` is the error as a spell would print it; `where` is "file.lua:12", or None.
    """

    call: int
    value: Value
    text: str
    traceback: str
    where: str | None


class Printed(NamedTuple):
    """A line of the spell's output, without its line end."""

    text: str | bytes


Record = Requested | Cancelled | Returned | Failed | Printed


def read(message: bytes) -> list[Record]:
    """The records of a message from Lua. Raises MalformedMessage."""
    records: list[Record] = []
    at, end = 0, len(message)
    try:
        while at < end:
            record, at = _read_one(message, at)
            records.append(record)
    except (StructError, IndexError) as error:
        raise MalformedMessage(str(error)) from error
    return records


def _read_one(message: bytes, at: int) -> tuple[Record, int]:
    kind = message[at]
    if kind == _PRINT:
        return _read_print(message, at + 1)
    _, number = _head_at(message, at)
    at += 5
    if kind == _EFFECT:
        end = at + 2 + _short_at(message, at)[0]
        path = str(message[at + 2 : end], "ascii", "replace")
        at, end = end, end + 2 + _short_at(message, end)[0]
        name = str(message[at + 2 : end], "utf-8", "replace")
        decoder = Decoder(message, end)
        args = decoder.value()
        return Requested(number, path, name, args, decoder.functions), decoder.position
    if kind == _CANCEL:
        return Cancelled(number), at
    decoder = Decoder(message, at)
    if kind == _RETURNED:
        return Returned(number, decoder.value()), decoder.position
    if kind == _FAILED:
        value, text, traceback, where = (decoder.value() for _ in range(4))
        shown = None if where is None else as_text(where)
        failed = Failed(number, value, as_text(text), as_text(traceback), shown)
        return failed, decoder.position
    raise MalformedMessage(f"unknown record {kind}")


def _read_print(message: bytes, at: int) -> tuple[Printed, int]:
    end = at + 4 + int(_LONG.unpack_from(message, at)[0])
    if end > len(message):
        raise MalformedMessage("a line runs past the end")
    line = message[at + 4 : end]
    try:
        return Printed(line.decode()), end
    except UnicodeDecodeError:
        return Printed(line), end


def as_text(value: Value) -> str:
    """A Lua string as text to show, whatever its bytes."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def reply(task: int, value: Value) -> bytes:
    """The effect of a task is done. Raises NotPlain."""
    return _head(_REPLY, task) + encode(value)


def refusal(task: int, error: dict[str, Value]) -> bytes:
    """The effect of a task failed: an error table to raise there."""
    return _head(_REFUSAL, task) + encode(error)


def call(number: int, path: str, function: LuaFunction, args: list[Value]) -> bytes:
    """Call a function of the spell in a new task. Raises NotPlain."""
    head = _head(_CALL, number) + _with_length(_SHORT, path.encode())
    return head + _FUNCTION.pack(function.id) + encode(args)


def release(function: LuaFunction) -> bytes:
    """The host will not call that function again."""
    return _head(_RELEASE, function.id)


def abort(number: int) -> bytes:
    """Cancel the task that answers a call."""
    return _head(_ABORT, number)


def kill(limit: str, reason: str) -> bytes:
    """End the run, uncatchably."""
    head = _head(_KILL, 0) + _with_length(_LONG, limit.encode())
    return head + _with_length(_LONG, reason.encode())


def main(name: str, source: bytes, params: dict[str, Value], arguments: list[str]) -> bytes:
    """Run the spell itself, as call 0. `name` is its chunk name: "@hello.lua"."""
    head = _head(_MAIN, 0) + _with_length(_LONG, name.encode("utf-8", "surrogateescape"))
    return head + _with_length(_LONG, source) + encode(params) + encode(arguments)


def _with_length(length: Struct, data: bytes) -> bytes:
    return length.pack(len(data)) + data
