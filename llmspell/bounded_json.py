"""Decodes JSON from elsewhere, whose values may take much more memory than their text."""

from __future__ import annotations

import json
import re
from typing import Any

MAX_VALUES = 1_000_000  # as many as a spell can pass to the host

_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


def decode_json(text: str) -> Any:
    """Decode JSON. Raises ValueError if it is invalid, nested too deeply, or has too many values."""
    if _most_values(text) > MAX_VALUES and _most_values(_STRING.sub("", text)) > MAX_VALUES:
        raise ValueError(f"the text has over {MAX_VALUES:,} values")
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _most_values(text: str) -> int:
    """Return an upper bound of the values in a JSON text: all but a list's first follow a comma."""
    return sum(map(text.count, ",[{")) + 1
