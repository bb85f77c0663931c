from __future__ import annotations

import logging
from typing import Literal

from llmspell.bridge import Bridge
from llmspell.values import Value

bridge = Bridge("log", __file__)

_log = logging.getLogger("llmspell.spell")
_LEVELS = logging.getLevelNamesMapping()


@bridge.effect(repeatable=True)
def write(
    message: str,
    level: Literal["debug", "info", "warning", "error"] = "info",
    fields: dict[str, Value] | None = None,
) -> None:
    """Write a line to the log on stderr."""
    shown = "".join(f" {key}={value!r}" for key, value in (fields or {}).items())
    _log.log(_LEVELS[level.upper()], "%s%s", message, shown)
