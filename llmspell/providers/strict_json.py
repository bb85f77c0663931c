"""JSON as in RFC 8259: no NaN or Infinity, and ValueError for what is too deep or too large."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn


def read_json(text: str) -> Any:
    """Parse JSON. Raises ValueError."""
    text = text.strip(_SPACE)
    value, end = read_json_at(text, 0)
    if end < len(text):
        raise ValueError("something follows the value")
    return value


def read_json_at(text: str, at: int) -> tuple[Any, int]:
    """Parse the JSON value that begins at a position; return it and the position after it.

    Raises ValueError.
    """
    try:
        return _decoder.raw_decode(text, at)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def write_json(value: Any) -> str:
    """Serialize a value as ASCII. Raises ValueError for what JSON cannot represent."""
    try:
        return _encoder.encode(value)
    except TypeError as error:
        raise ValueError(str(error)) from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is too large")
    return number


_SPACE = " \t\n\r"
_decoder = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)
# ASCII, so that an unpaired surrogate, which models do write, can be sent back.
_encoder = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))
