"""The messages between a Lua state and its host: records, of which a message has any number.

A message from Lua begins with a byte for its status: w, it waits for a reply; m, it can continue at
once; k, it was killed. A record is a byte for its kind and the content of that kind. Integers are
little-endian; values are encoded as in codec.py; texts are prefixed with a 16- or 32-bit length.
From Lua:

    1 request    16-bit length of: task, path with 16-bit length, name; number of the effect within
                 its task; arguments
    2 cancelled  task
    3 returned   call, value
    4 failed     call, value, text, traceback, where, hint
    5 printed    text with 32-bit length, its line end included
    6 killed     0, limit, reason, where, traceback

To Lua: see the functions below. Tasks, calls and numbers have 32 bits. A task has at most one
effect outstanding, so replies are addressed to the task.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple, Protocol

from llmspell.lua.codec import MAX_NUMBER_KEYS, Found, MalformedMessage, decode, encode
from llmspell.stack_room import LARGE, with_room
from llmspell.values import LuaFunction, Value, as_text

_HEAD, _SHORT, _LONG, _FUNCTION = Struct("<BI"), Struct("<H"), Struct("<I"), Struct("<q")
_head, _head_at = _HEAD.pack, _HEAD.unpack_from
_call, _nothing = Struct("<BIH").pack, Struct("<BIB").pack
_short_at, _long_at = _SHORT.unpack_from, _LONG.unpack_from
_number_at = Struct("<IB").unpack_from
_MAX_HEADS, _LONGEST_HEAD = 4096, 256

# A kernel holds each value of its message as a piece in a table, and each record as several. They take
# at least as many bytes: 9, half of them twice while the table grows.
_PIECE, _RECORD = 12, 4
MAX_REQUESTS = 1024
"""The limit for the requests of one message; a kernel ends its turn earlier."""

KILLED, _MORE = ord("k"), ord("m")
_EMPTY, _NIL = ord("0"), ord("n")  # an empty table, and nil; see codec.py
_EFFECT, _CANCEL, _RETURNED, _FAILED, _PRINT, _KILLED = 1, 2, 3, 4, 5, 6
_REPLY, _REFUSAL, _CALL, _RELEASE, _ABORT, _KILL, _MAIN = 1, 2, 3, 4, 5, 6, 7


_KINDS = {
    _REPLY: "answer",
    _REFUSAL: "answer",
    _CALL: "call",
    _RELEASE: "release",
    _ABORT: "abort",
    _KILL: "kill",
    _MAIN: "main",
}


class Failure(NamedTuple):
    """An error that no pcall caught.

    `text` is the error as a spell would print it; `where` is "file.lua:12", or None; `hint` says
    what to do, if known.
    """

    value: Value
    text: str
    traceback: str
    where: str | None
    hint: str | None


class Kill(NamedTuple):
    """Why a state was killed: the limit's name, a sentence, and where the spell was."""

    limit: str
    message: str
    where: str | None
    traceback: str


class Receiver(Protocol):
    """Receives the messages of a Lua state, record by record."""

    def requested(
        self,
        task: int,
        path: str,
        name: str,
        args: Value,
        functions: Sequence[LuaFunction],
        size: int,
    ) -> None:
        """A task requests an effect and waits.

        An empty table of arguments is a dict here. `functions` are those among the arguments, and
        `size` is that of their bytes.
        """
        ...

    def cancelled(self, task: int) -> None:
        """A task was cancelled in Lua, so its effect is no longer awaited."""
        ...

    def returned(self, call: int, value: Value) -> None:
        """The task that answers a call of the host has returned."""
        ...

    def failed(self, call: int, failure: Failure) -> None:
        """The task that answers a call of the host failed."""
        ...

    def printed(self, text: str | bytes) -> None:
        """The spell printed a line, line end included, or wrote part of one."""
        ...


class _LimitedFinds(Found):
    """What is found in a message that may have too many values or requests."""

    __slots__ = ("_requests_left",)

    def __init__(self, values: int) -> None:
        super().__init__(left=values)
        self._requests_left = MAX_REQUESTS

    def take_record(self, kind: int) -> None:
        """Count a record. Raises MalformedMessage if there are too many."""
        self.take(_RECORD)
        if kind == _EFFECT:
            self._requests_left -= 1
            if self._requests_left < 0:
                raise MalformedMessage("too many requests at once")


class Reader:
    """Reads the messages of one Lua state, which may be in the hands of a hostile spell.

    So a message has a limited number of values and records: as many as a kernel can hold pieces of
    it in that much memory.

    Attributes:
        kill: Why the state was killed, once it was.
    """

    def __init__(self, receiver: Receiver, *, memory: int) -> None:
        self._receiver = receiver
        self._most = memory // _PIECE
        # Values and requests take at least a byte, so a message of that length has not too many. All
        # those share what counts nothing, as creating it takes long.
        self._short = min(self._most, MAX_REQUESTS)
        self._found = Found()
        # Cache of what precedes a request's arguments, which is the same for every effect of that
        # name in that task: from the bytes to the task, path and name.
        self._heads: dict[bytes, tuple[int, str, str]] = {}
        self.kill: Kill | None = None

    def read(self, message: bytes, *, has_room: bool = False) -> bool:
        """Pass a message's records to the receiver; return whether Lua can continue at once.

        Args:
            message: What the state has sent.
            has_room: Whether it is called within `with_room`, which is for large messages.

        Raises:
            MalformedMessage: An intact kernel would not have sent this.
        """
        at, end = 1, len(message)
        if end <= self._short:
            limited = None
        elif end <= LARGE or has_room:
            limited = _LimitedFinds(self._most)
        else:
            return with_room(lambda: self.read(message, has_room=True))
        found = limited or self._found
        try:
            while at < end:
                kind = message[at]
                if limited:
                    limited.take_record(kind)
                if kind == _EFFECT:
                    at = self._request(message, at + 1, found)
                elif kind == _PRINT:
                    at = self._print(message, at + 1)
                else:
                    at = self._other(message, at, kind, found)
            return message[0] == _MORE
        except (struct.error, IndexError) as error:
            raise MalformedMessage(str(error)) from error

    def _other(self, message: bytes, at: int, kind: int, found: Found) -> int:
        number = _long_at(message, at + 1)[0]
        at += 5
        if kind == _CANCEL:
            self._receiver.cancelled(number)
            return at
        if kind == _RETURNED and message[at] == _NIL:
            self._receiver.returned(number, None)  # as most hooks do
            return at + 1
        found.functions, found.number_keys_left = [], MAX_NUMBER_KEYS
        value, at = decode(message, at, found)
        if kind == _RETURNED:
            self._receiver.returned(number, value)
            return at
        if kind == _FAILED:
            text, at = decode(message, at, found)
            traceback, at = decode(message, at, found)
            where, at = decode(message, at, found)
            hint, at = decode(message, at, found)
            optional = (None if text is None else as_text(text) for text in (where, hint))
            failure = Failure(value, as_text(text), as_text(traceback), *optional)
            self._receiver.failed(number, failure)
            return at
        if kind == _KILLED:
            reason, at = decode(message, at, found)
            where, at = decode(message, at, found)
            traceback, at = decode(message, at, found)
            shown = None if where is None else as_text(where)
            self.kill = Kill(as_text(value), as_text(reason), shown, as_text(traceback or ""))
            return at
        raise MalformedMessage(f"unknown record {kind}")

    def _request(self, message: bytes, at: int, found: Found) -> int:
        end = at + 2 + (message[at] | message[at + 1] << 8)
        head = message[at:end]
        try:
            task, path, name = self._heads[head]
        except KeyError:
            task, path, name = self._learn(head)
        number, tag = _number_at(message, end)
        path = f"{path}/{number}"
        if tag == _EMPTY:  # many effects have no arguments
            self._receiver.requested(task, path, name, {}, (), 1)
            return end + 5
        functions: list[LuaFunction] = []
        found.functions, found.number_keys_left = functions, MAX_NUMBER_KEYS
        args, at = decode(message, end + 4, found)
        self._receiver.requested(task, path, name, args, functions, at - end - 4)
        return at

    def _learn(self, head: bytes) -> tuple[int, str, str]:
        task = _long_at(head, 2)[0]
        end = 8 + _short_at(head, 6)[0]
        if end > len(head):
            raise MalformedMessage("a path runs past the end")
        path, name = head[8:end], head[end:]
        known = task, path.decode("ascii", "replace"), name.decode("utf-8", "replace")
        if len(self._heads) >= _MAX_HEADS:
            self._heads.clear()
        if len(head) <= _LONGEST_HEAD:
            self._heads[head] = known
        return known

    def _print(self, message: bytes, at: int) -> int:
        end = at + 4 + int(_long_at(message, at)[0])
        if end > len(message):
            raise MalformedMessage("a text runs past the end")
        text = message[at + 4 : end]
        try:
            self._receiver.printed(text.decode())
        except UnicodeDecodeError:
            self._receiver.printed(text)
        return end


def killed(kill: Kill, *, after: bytes = b"k") -> bytes:
    """Return a message by which Lua reports its end, `after` what it said before."""
    return after + _head(_KILLED, 0) + b"".join(map(encode, kill))


def reply(task: int, value: Value) -> bytes:
    """Return a message with the result of a task's effect. Raises NotPlain."""
    if value is None:  # common
        return _nothing(_REPLY, task, _NIL)
    return _head(_REPLY, task) + encode(value)


def refusal(task: int, error: dict[str, Value]) -> bytes:
    """Return a message that fails a task's effect, with an error table to raise there."""
    return _head(_REFUSAL, task) + encode(error)


def call(number: int, path: str, function: LuaFunction, args: list[Value]) -> bytes:
    """Return a message that calls a function in a new task. Raises NotPlain."""
    place = path.encode()
    return _call(_CALL, number, len(place)) + place + _FUNCTION.pack(function.id) + encode(args)


def release(function: LuaFunction) -> bytes:
    """Return a message that releases a function, which the host must not call again."""
    return _head(_RELEASE, function.id)


def abort(number: int) -> bytes:
    """Return a message that cancels the task which answers a call."""
    return _head(_ABORT, number)


def kill(task: int, limit: str, reason: str) -> bytes:
    """Return a message that ends the run, uncatchably, because of a task's effect."""
    head = _head(_KILL, task) + _with_length(_LONG, limit.encode())
    return head + _with_length(_LONG, reason.encode())


def main(name: str, source: bytes, params: dict[str, Value], arguments: list[str]) -> bytes:
    """Return a message that runs the spell, as call 0, with a chunk name: "@hello.lua"."""
    head = _head(_MAIN, 0) + _with_length(_LONG, name.encode("utf-8", "surrogateescape"))
    return head + _with_length(_LONG, source) + encode(params) + encode(arguments)


def is_end(message: bytes) -> bool:
    """Whether a message to Lua ends the run, or is empty because the state has died."""
    return not message or message[0] == _KILL


def head_of(message: bytes) -> tuple[str, int]:
    """Return the kind of a message to Lua, and the number of the task or call it is for."""
    kind, number = _head_at(message, 0)
    return _KINDS[kind], number


def path_of_call(message: bytes) -> str:
    """Return the path of the task that is to answer a call."""
    return message[7 : 7 + _short_at(message, 5)[0]].decode()


def called(message: bytes) -> tuple[LuaFunction, list[Value]]:
    """Return the function that a call message calls, and its arguments."""
    at = 7 + _short_at(message, 5)[0]
    function = LuaFunction(_FUNCTION.unpack_from(message, at)[0])
    return function, decode(message, at + _FUNCTION.size, Found(number_keys=math.inf))[0]


def _with_length(length: Struct, data: bytes) -> bytes:
    return length.pack(len(data)) + data
