from __future__ import annotations

import logging
from typing import Literal

from llmspell.bridge import Bridge
from llmspell.effects import Effect
from llmspell.run_output import RunOutput
from llmspell.values import Value, as_text, in_order, size_in_bytes

bridge = Bridge("log", __file__)

_log = logging.getLogger("llmspell.spell")
_LEVELS = logging.getLevelNamesMapping()


@bridge.effect(repeatable=True)
def write(
    effect: Effect,
    message: str | bytes,
    level: Literal["debug", "info", "warning", "error"] = "info",
    fields: dict[str, Value] | None = None,
) -> None:
    """Write a line to the log on stderr, with the fields sorted by name."""
    shown = "".join(f" {key}={value!r}" for key, value in in_order(fields or {}).items())
    effect.run[RunOutput].count(size_in_bytes(message) + size_in_bytes(shown) + 1)
    _log.log(_LEVELS[level.upper()], "%s%s", as_text(message), shown)
