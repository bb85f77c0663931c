"""Plain values as JSON text, exactly: what is decoded is what was encoded.

Ordinary values are ordinary JSON. The rest is an object with one key that says what it stands for:

    {"$bytes": "AP8="}                 bytes, in base64
    {"$number": "inf"}                 inf, -inf or nan
    {"$table": [[1, "a"], [2.5, "b"]]} a table with keys that are no strings, or an ordinary table
                                       that would read as one of these three
"""

from __future__ import annotations

import base64
import json
import math
from typing import Any

from llmspell.errors import StateError
from llmspell.values import MAX_DEPTH, LuaFunction, Value

MAX_BYTES = 8 * 1024 * 1024
_TAGS = {"$bytes", "$number", "$table"}
_INTEGERS = range(-(2**63), 2**63)

_json = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")
)
_ascii_json = json.JSONEncoder(check_circular=False, allow_nan=False, separators=(",", ":"))


def encode(value: Value, most: int = MAX_BYTES) -> str:
    """The value's text, which can be written as UTF-8.

    Raises:
        StateError: When it is not plain, an integer has more than 64 bits, tables are nested more
            than 64 deep, or the text has more bytes than `most`.
    """
    tagged = _tagged(value, 0)
    text = _json.encode(tagged)
    size = len(text)
    if not text.isascii():
        try:
            size = len(text.encode())
        except UnicodeEncodeError:  # a lone surrogate, which JSON can only escape
            text = _ascii_json.encode(tagged)
            size = len(text)
    if size > most:
        raise StateError(
            f"a value of {size:,} bytes cannot be stored: the most is {most:,}",
            hint="store it in parts under several keys, or write it to a file",
            details={"bytes": size, "limit": most},
        )
    return text


def decode(text: str) -> Value:
    """The value that `encode` made the text of.

    Raises:
        StateError: When it is no such text: someone else wrote it.
    """
    try:
        return json.loads(text, object_hook=_untagged if '{"$' in text else None)
    except (ValueError, TypeError, LookupError) as error:
        raise StateError(
            f"a stored value is damaged: {error}", hint="delete the key, or set it anew"
        ) from error


def _tagged(value: Value, depth: int) -> Any:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int:
        if value not in _INTEGERS:
            raise StateError(
                "an integer of more than 64 bits cannot be stored",
                hint="store it as a string or a float",
            )
        return value
    if kind is float:
        return value if math.isfinite(value) else {"$number": repr(value)}
    if kind is bytes:
        return {"$bytes": base64.b64encode(value).decode()}
    if kind is list or kind is dict:
        return _tagged_table(value, depth + 1)
    raise StateError(
        f"a {'function' if kind is LuaFunction else kind.__name__} cannot be stored",
        hint="a store takes nil, booleans, numbers, strings, and tables of these",
    )


def _tagged_table(table: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise StateError(
            "a table that is nested too deeply, or contains itself, cannot be stored",
            hint=f"the most is {MAX_DEPTH} levels",
        )
    if type(table) is list:
        return [_tagged(item, depth) for item in table]
    if all(type(key) is str for key in table) and not (len(table) == 1 and _TAGS & table.keys()):
        return {key: _tagged(item, depth) for key, item in table.items()}
    return {"$table": [[_key(key), _tagged(item, depth)] for key, item in table.items()]}


def _key(key: Any) -> Any:
    if type(key) not in (str, int, float, bytes) or key != key:  # noqa: PLR0124 - NaN
        raise StateError(
            f"a table with the key {key!r} cannot be stored", hint="keys are strings or numbers"
        )
    return _tagged(key, 0)


def _untagged(table: dict[str, Any]) -> Any:
    if len(table) == 1:
        ((tag, content),) = table.items()
        if tag == "$bytes":
            return base64.b64decode(content, validate=True)
        if tag == "$number":
            return float(content)
        if tag == "$table":
            return dict(content)
    return table


def same(left: Value, right: Value) -> bool:
    """Whether two plain values are equal as Lua sees them, tables by their contents.

    Lua has one empty table, so an empty list equals an empty dict; and nan equals nan, so that a
    value read from a store equals itself.
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
    """The sum that `increment` stores; a missing number counts as 0.

    Raises:
        StateError: When one of them is no number.
    """
    old = 0 if old is None else old
    for number in (old, by):
        if type(number) not in (int, float):
            raise StateError(
                f"cannot add {old!r:.80} and {by!r:.80}: one is no number",
                hint="increment works on numbers; use update for other values",
            )
    total: int | float = old + by
    return total
