from __future__ import annotations

import json

from llmspell.bounded_json import decode_json
from llmspell.bridge import Bridge
from llmspell.errors import InvalidArguments
from llmspell.values import NotPlain, Value, in_order, plain, refuse_in_json

bridge = Bridge("json", __file__)

MAX_INDENT = 8


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
    try:
        return decode_json(text)
    except ValueError as error:
        raise InvalidArguments("JSON.decode", [str(error)]) from error
