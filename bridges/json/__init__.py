from __future__ import annotations

import json
import re

from llmspell.bridge import Bridge
from llmspell.errors import InvalidArguments
from llmspell.values import NotPlain, Value, in_order, plain, refuse_in_json

bridge = Bridge("json", __file__)

MAX_INDENT = 8
MAX_VALUES = 1_000_000  # as many as a spell can pass to the host

_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


def _most_values(text: str) -> int:
    """Return an upper bound of the values in a JSON text: all but a list's first follow a comma."""
    return sum(map(text.count, ",[{")) + 1


@bridge.effect(leaf=False)
def encode(value: Value = None, indent: int = 0) -> str:
    """Encode a value as JSON with sorted keys; `indent` spaces per level, or 0 for one line."""
    try:
        return json.dumps(
            in_order(plain(value)),
            ensure_ascii=False,
            indent=min(indent, MAX_INDENT) or None,
            separators=None if indent else (",", ":"),
            allow_nan=False,
            default=refuse_in_json,
        )
    except (NotPlain, TypeError, ValueError) as error:
        raise InvalidArguments("JSON.encode", [str(error)]) from error


@bridge.effect(leaf=False)
def decode(text: str) -> Value:
    """Decode JSON. A null in an object is dropped; in an array it becomes `JSON.null`."""
    if _most_values(text) > MAX_VALUES and _most_values(_STRING.sub("", text)) > MAX_VALUES:
        raise InvalidArguments("JSON.decode", [f"the text has over {MAX_VALUES:,} values"])
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArguments("JSON.decode", [str(error)]) from error
