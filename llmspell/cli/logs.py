"""Logging to stderr: warnings by default, effects with --verbose, everything with --debug."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import partial
from typing import TextIO

from llmspell.effects import Effect

log = logging.getLogger("llmspell.run")


Writer = Callable[[Callable[[], None]], None]
"""Calls a function that writes to the terminal, once nothing else is being shown there."""


def set_up_logging(level: int, *, debug: bool, writer: Writer) -> None:
    """Send the log to stderr.

    Args:
        level: The level of llmspell's loggers; other loggers are shown from warnings on.
        debug: Show times, loggers and tracebacks.
        writer: Schedules the writing of each line.
    """
    handler = _Handler(sys.stderr)
    handler.writer = writer
    detailed = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(detailed if debug else _Terse())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("llmspell").setLevel(level)


class _Handler(logging.StreamHandler[TextIO]):
    writer: Writer

    def emit(self, record: logging.LogRecord) -> None:
        self.writer(partial(super().emit, record))


class _Terse(logging.Formatter):
    """Formats records as `warning: …`, like error messages; of an exception only its message."""

    def format(self, record: logging.LogRecord) -> str:
        text = f"{record.levelname.lower()}: {record.getMessage()}"
        error = record.exc_info[1] if record.exc_info else None
        return text if error is None else f"{text}: {type(error).__name__}: {error}"


class Narrator:
    """An observer that logs effects when they start, and agents, models and tools when they end."""

    def started(self, effect: Effect) -> None:
        log.debug("%s %s %s", effect.path, effect.name, effect.args)

    def finished(self, effect: Effect, seconds: float, error: BaseException | None) -> None:
        if (what := subject(effect)) is None:
            return
        if error is None:
            log.info("%s took %.2f s", what, seconds)
        else:
            cause = error.__cause__ if log.isEnabledFor(logging.DEBUG) else None
            log.info("%s failed after %.2f s: %s", what, seconds, error, exc_info=cause)


def subject(effect: Effect) -> str | None:
    """Return the agent, model or tool that an effect occupies, or None for other effects."""
    if effect.name == "tool.call":
        return f"{effect.args.get('name')}"
    if effect.name == "model.request":
        return f"{effect.args.get('model')}"
    if effect.name == "agent.run":
        return _agent_name(effect)
    return None


def _agent_name(effect: Effect) -> str:
    from llmspell.agents.agent import Agents

    agent = effect.run[Agents].get(str(effect.args.get("agent")))
    return agent.name if agent else "agent"
