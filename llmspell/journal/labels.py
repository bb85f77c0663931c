"""Short descriptions of effects for people."""

from __future__ import annotations

from collections.abc import Mapping

from llmspell.values import Value, legible

_TELLING = {"model.request": ("model",), "tool.call": ("name",)}
_OFTEN = ("name", "key", "topic", "pattern", "model", "path", "agent", "seconds")

_LONGEST = 200  # characters of arguments shown


def label_of(name: str, args: Mapping[str, Value]) -> str:
    """Return the most telling argument of an effect, or "" if there is none."""
    for key in _TELLING.get(name, _OFTEN):
        value = args.get(key)
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return str(value)
    return ""


def shown(name: str, args: dict[str, Value]) -> str:
    """Return an effect's name and arguments for display."""
    import json

    text = json.dumps(legible(args), ensure_ascii=False) if args else ""
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return f"{name} {short}".strip()
