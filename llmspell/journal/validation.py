"""Validates rows and texts of a journal when they are read.

Somebody may have edited the file, a disk may have failed, and an imported run comes from a
stranger.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from llmspell.errors import StateError
from llmspell.journal.run_ids import is_id
from llmspell.limits import Budget, Limits, units
from llmspell.permissions import KINDS
from llmspell.state.encoding import decode
from llmspell.values import MAX_DEPTH, Value

Check = Callable[[Any], bool]

MOST_VALUES = 1 << 24
"""The most values in one text: about as many as fit in a message under default limits."""

_FULL_NAME = re.compile(r"\w{1,64}@\d{1,9}(\.\d{1,9}){0,9}", re.ASCII)  # of a tool
_LATEST = 253_000_000_000.0  # seconds since 1970: the year 9987
_LONGEST_PATH = 4000  # characters


class InvalidRecord(ValueError):
    """A text that the journal cannot have written."""


def value_of(text: str) -> Value:
    """Deserialize a value. Raises InvalidRecord."""
    tables = text.count("[") + text.count("{")
    if tables + text.count(",") > MOST_VALUES:
        raise InvalidRecord
    try:
        value = decode(text)
    except StateError as error:
        raise InvalidRecord from error
    if tables > MAX_DEPTH and _is_deep(value):
        raise InvalidRecord
    return value


def table_of(text: str) -> dict[str, Value]:
    """Deserialize a table with string keys. Raises InvalidRecord."""
    value = value_of(text)
    if value in (None, []):
        return {}
    if not _is_table(value):
        raise InvalidRecord
    return value  # type: ignore[no-any-return]


def error_of(text: str) -> dict[str, Value]:
    """Deserialize an error: {code, message, where, hint, details}. Raises InvalidRecord."""
    return _checked_table(text, _ERROR)


def setup_of(text: str) -> dict[str, Any]:
    """Deserialize a run's setup. Raises InvalidRecord."""
    return _checked_table(text, _SETUP)


def _checked_table(text: str, checks: Mapping[str, Check]) -> dict[str, Value]:
    value = value_of(text)
    if not (_is_table(value) and all(check(value.get(name)) for name, check in checks.items())):
        raise InvalidRecord
    return value  # type: ignore[no-any-return]


def arguments_of(text: str) -> list[str]:
    """Deserialize the contents of `arg`. Raises InvalidRecord."""
    value = value_of(text)
    if not _are_texts(value):
        raise InvalidRecord
    return value  # type: ignore[no-any-return]


def answer_of(name: str, text: str) -> Value:
    """Deserialize a person's answer to an effect with that name. Raises InvalidRecord."""
    value = value_of(text)
    decided = _is_table(value) and type(value.get("approved")) is bool
    if decided:
        decided = _is_table(value.get("args", {})) and _is_text(value.get("reason", ""))
    if not (decided if name == "human.approve" else _is_text(value)):
        raise InvalidRecord
    return value


def heads_of(lists: str | None) -> Iterator[tuple[str, bytes]]:
    """Yield the names and head digests of the chains in an effect's `lists`. Raises InvalidRecord."""
    if lists is not None and type(lists) is not str:
        raise InvalidRecord
    for key, head in (table_of(lists) if lists else {}).items():
        if not (isinstance(head, str) and re.fullmatch(r"[0-9a-f]{32}", head)):
            raise InvalidRecord
        yield key, bytes.fromhex(head)


def usage_of(text: str) -> dict[str, Value] | None:
    """Deserialize a model's usage. Raises InvalidRecord."""
    try:
        usage = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRecord from error
    if usage is not None and not _is_table(usage):
        raise InvalidRecord
    return usage or None


def invalid_column(table: str, row: Mapping[str, Any]) -> str | None:
    """Return the first column of a row that has an invalid value, or None."""
    checks = _COLUMNS[table]
    return next((name for name, value in row.items() if not checks[name](value)), None)


def _is_deep(value: Value) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        tables = [one for one in level if isinstance(one, (dict, list))]
        if not tables:
            return False
        level = [item for one in tables for item in (one.values() if type(one) is dict else one)]
    return True


def _is_text(value: Any) -> bool:
    return type(value) is str


def _is_path(value: Any) -> bool:
    return type(value) is str and 0 < len(value) <= _LONGEST_PATH


def _is_digest(value: Any) -> bool:
    return type(value) is bytes


def _is_stored(value: Any) -> bool:
    return type(value) is str or type(value) is bytes


def _is_integer(value: Any) -> bool:
    return type(value) is int


def _is_time(value: Any) -> bool:
    return type(value) is float and 0 <= value < _LATEST


def _is_number(value: Any) -> bool:
    return type(value) is float


def _is_duration(value: Any) -> bool:
    return type(value) is float and math.isfinite(value)


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _one_of(*words: str | int) -> Check:
    return lambda value: type(value) in (str, int) and value in words


def _is_table(value: Any) -> bool:
    return type(value) is dict and all(type(key) is str for key in value)


def _are_texts(value: Any) -> bool:
    return type(value) is list and all(type(item) is str for item in value)


def _are_tools(value: Any) -> bool:
    return type(value) is list and all(_is_table(tool) and _is_tool(tool) for tool in value)


def _is_tool(table: dict[str, Any]) -> bool:
    texts = ("name", "version", "description", "category")
    return (
        all(_is_text(table.get(key)) for key in texts)
        and _FULL_NAME.fullmatch(f"{table['name']}@{table['version']}") is not None
        and _are_texts(table.get("tags"))
        and _or_none(_is_table)(table.get("touches"))
        and _is_table(table.get("schema"))
    )


def _are_grants(value: Any) -> bool:
    return _is_table(value) and all(_or_none(_are_texts)(value.get(kind)) for kind in KINDS)


def _are_approvals(value: Any) -> bool:
    return _is_table(value) and _are_texts(value.get("wanted")) and _are_texts(value.get("given"))


def _are_models(value: Any) -> bool:
    return _is_table(value) and _are_texts(list(value.values()))


def _are_limits(value: Any) -> bool:
    return _is_table(value) and _read(Limits, value)


def _is_budget(value: Any) -> bool:
    if not _is_table(value) or not _read(Budget, value):
        return False
    rest = value.keys() - units(Budget).keys()
    return rest <= {"unknown_price"} and value.get("unknown_price", "allow") in ("refuse", "allow")


def _read(kind: type, table: dict[str, Any]) -> bool:
    """Return whether the limits of a kind have valid values."""
    known = units(kind)
    try:
        for name in table.keys() & known.keys():
            if table[name] is not None or kind is Limits:
                known[name].read(table[name])
    except ValueError:
        return False
    return True


def _are_given(value: Any) -> bool:
    if not _is_table(value) or not _or_none(_is_text)(value.get("model")):
        return False
    if not _or_none(_are_grants)(value.get("denied")):
        return False
    is_choice = _or_none(lambda chosen: type(chosen) is bool)
    if not (is_choice(value.get("isolate")) and is_choice(value.get("in_memory"))):
        return False
    amounts = (("limits", _are_limits), ("budget", _is_budget))
    return all(value.get(name) in (None, []) or check(value[name]) for name, check in amounts)


def _is_chain(value: Any) -> bool:
    return _is_table(value) and all(_are_texts(names) for names in value.values())


def part_of(text: str) -> list[Value]:
    """Deserialize a part of an answer: a list of texts and tables. Raises InvalidRecord."""
    part = value_of(text)
    if not isinstance(part, list) or not all(isinstance(piece, (str, dict)) for piece in part):
        raise InvalidRecord
    return part


_ERROR: dict[str, Check] = {
    "code": _is_text,
    "message": _is_text,
    "where": _or_none(_is_text),
    "hint": _or_none(_is_text),
    "details": lambda value: value in (None, []) or _is_table(value),
}

_SETUP: dict[str, Check] = {
    "limits": _are_limits,
    "budget": _is_budget,
    "grants": _are_grants,
    "denied": _are_grants,
    "approvals": _are_approvals,
    "models": _or_none(_are_models),
    "given": _or_none(_are_given),
    "tools": _are_tools,
    "chain": _or_none(_is_chain),
}

_COLUMNS: dict[str, dict[str, Check]] = {
    "runs": {
        "number": _is_integer,
        "id": is_id,
        "spell": _is_text,
        "file": _is_text,
        "path": _or_none(_is_text),
        "source": _is_digest,
        "trusted": _one_of(0, 1),
        "params": _is_text,
        "arguments": _is_text,
        "seed": lambda value: type(value) is int and 0 <= value < 1 << 31,
        "setup": _is_stored,
        "started": _is_time,
        "ended": _or_none(_is_time),
        "status": _one_of("running", "suspended", "completed", "failed"),
        "reason": _or_none(_is_text),
        "due": _or_none(_is_number),
        "result": _or_none(_is_stored),
        "error": _or_none(_is_text),
        "origin": _or_none(_is_text),
        "origin_path": _or_none(_is_text),
    },
    "effects": {
        "number": _is_integer,
        "path": _is_path,
        "name": _is_text,
        "digest": _is_digest,
        "args": _is_stored,
        "lists": _or_none(_is_text),
        "kind": _one_of("ok", "error", "cancelled"),
        "outcome": _is_stored,
        "asked": _is_integer,
        "turn": _is_integer,
        "started": _is_time,
        "seconds": _is_duration,
        "usage": _or_none(_is_text),
    },
    "begun": {
        "path": _is_path,
        "name": _is_text,
        "digest": _is_digest,
        "args": _is_stored,
        "lists": _or_none(_is_text),
        "started": _is_time,
        "due": _or_none(_is_number),
        "answer": _or_none(_is_text),
    },
    "payments": {
        "number": _is_integer,
        "path": _is_path,
        "model": _is_text,
        "usage": _is_text,
        "answered": _one_of(0, 1),
    },
    "delivered": {
        "path": _is_path,
        "number": _is_integer,
        "asked": _is_integer,
        "turn": _or_none(_is_integer),
        "part": _is_text,
    },
    "composites": {
        "path": _is_path,
        "name": _is_text,
        "label": _is_text,
        "kind": _one_of("ok", "error", "cancelled", "unfinished"),
        "started": _is_time,
        "seconds": _is_duration,
        "begun": _is_integer,
    },
    "turns": {"turn": _is_integer, "under": _is_text, "batch": _is_text},
    "calls": {
        "turn": _is_integer,
        "path": _is_path,
        "function": lambda value: type(value) is int and 0 <= value < 1 << 32,
        "args": _is_stored,
    },
}
