"""Parses TOML; tables and lists that are nested too deeply are an error in it like any other."""

from __future__ import annotations

import re
import sys
from typing import Any

_TOKENS = re.compile(
    r"""(\"{3}|")(?:\\.|.)*?(?:\1|\Z)|('{3}|').*?(?:\2|\Z)|\#[^\n]*|[\[\]{}]""", re.DOTALL
)
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML. Raises ValueError, which says where it is invalid."""
    import tomllib

    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError(f"nested too deeply (at line {_deepest_line(text)})") from None


def _deepest_line(text: str) -> int:
    """Return the line that is nested the deepest, of those that a parser can have reached."""
    depth = deepest = place = 0
    for token in _TOKENS.finditer(text):
        depth += _STEPS.get(token[0], 0)
        if depth > deepest:
            deepest, place = depth, token.start()
        if depth > sys.getrecursionlimit():
            break
    return text.count("\n", 0, place) + 1
