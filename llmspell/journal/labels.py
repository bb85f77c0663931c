"""What an effect was about, in a word, for who looks at a run."""

from __future__ import annotations

from collections.abc import Mapping

from llmspell.values import Value

_TELLING = {"model.request": ("model",), "tool.call": ("name",)}
_OFTEN = ("name", "key", "topic", "pattern", "model", "path", "agent", "seconds")


def label_of(name: str, args: Mapping[str, Value]) -> str:
    """The argument that tells most of an effect of that name; "" when none does."""
    for key in _TELLING.get(name, _OFTEN):
        value = args.get(key)
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return str(value)
    return ""
