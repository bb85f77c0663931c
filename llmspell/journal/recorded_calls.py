"""Recorded calls that host code makes to functions of the spell in the middle of a leaf.

A replay answers a leaf from the record, so nothing calls the spell on its behalf. But what the
called function does is part of the run, so the replay makes these calls from the record.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llmspell.journal.stored_values import Stored
from llmspell.journal.validation import InvalidRecord, value_of
from llmspell.lua.codec import encode
from llmspell.values import LuaFunction, NotPlain, Value

if TYPE_CHECKING:
    from llmspell.journal.reader import Reader

_TAG = "$function"


def storable(value: Value) -> Value:
    """Return a value with functions replaced: `{"$function": 7}` stands for function 7.

    A table that already looks like that, with a value x, becomes `{"$function": [x]}`.
    """
    if isinstance(value, LuaFunction):
        return {_TAG: value.id}
    if isinstance(value, dict):
        table = {key: storable(item) for key, item in value.items()}
        return {_TAG: [table[_TAG]]} if table.keys() == {_TAG} else table
    if isinstance(value, list):
        return [storable(item) for item in value]
    return value


def args_of(text: str) -> list[Value]:
    """Return the arguments, with functions, that a stored text represents. Raises InvalidRecord."""
    args = _restored(value_of(text))
    try:
        encode(args)
    except NotPlain as error:
        raise InvalidRecord from error
    if type(args) is not list:
        raise InvalidRecord
    return args


def _restored(value: Value) -> Value:
    if isinstance(value, dict):
        return _function_or_table(value[_TAG]) if value.keys() == {_TAG} else _table(value)
    if isinstance(value, list):
        return [_restored(item) for item in value]
    return value


def _table(table: dict[Value, Value]) -> dict[Value, Value]:
    return {key: _restored(item) for key, item in table.items()}


def _function_or_table(content: Value) -> Value:
    if type(content) is int and 0 <= content < 1 << 32:
        return LuaFunction(content)
    if type(content) is list and len(content) == 1:
        return _table({_TAG: content[0]})
    raise InvalidRecord


@dataclass(eq=False)
class RecordedCall:
    """A call that a Lua state was told to execute.

    Attributes:
        turn: At which turn.
        path: The path of the task that executed it, as the Lua state has it.
        function: The number of the function.
        number: The number of the call when it is made again; None until then.
    """

    turn: int
    path: str
    function: int
    _args: Stored = field(repr=False)
    _run: str = field(repr=False)
    _reader: Reader = field(repr=False)
    number: int | None = None

    @property
    def text(self) -> str:
        """The arguments, as stored text."""
        return self._reader.text(self._args, self._run)

    @property
    def args(self) -> list[Value]:
        what = f"a table of arguments at {self.path}"
        return self._reader.read(args_of, what, self._run, self._args)
