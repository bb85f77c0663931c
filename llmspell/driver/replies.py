"""The messages that tell a task of a spell what became of its effect."""

from __future__ import annotations

import logging

from llmspell.errors import (
    EffectError,
    InvalidResult,
    LimitExceeded,
    ReplayError,
    RunSuspended,
    ungrouped,
)
from llmspell.lua import messages
from llmspell.values import LuaFunction, NotPlain, Value

log = logging.getLogger("llmspell.driver")


class Replies:
    """Composes the replies of one run.

    Attributes:
        fatal: The error of an effect that ends the run, once there is one.
    """

    def __init__(self) -> None:
        self.fatal: LimitExceeded | ReplayError | RunSuspended | None = None

    def reply(self, task: int, name: str, functions: list[LuaFunction], result: Value) -> bytes:
        """Return the reply with an effect's result, or the refusal of one that Lua cannot hold."""
        try:
            reply = messages.reply(task, result)
        except NotPlain as error:
            return self.refusal(task, name, functions, InvalidResult(f"{name}: {error}"))
        return reply + _releases(functions) if functions else reply

    def refusal(
        self, task: int, name: str, functions: list[LuaFunction], error: BaseException
    ) -> bytes:
        """Return the reply to an effect that failed; the spell sees only errors of effects."""
        error = ungrouped(error)
        if isinstance(error, LimitExceeded):
            self.fatal = error
            return messages.kill(task, error.limit, error.message)
        if isinstance(error, (ReplayError, RunSuspended)):
            self.fatal = error
            return messages.kill(task, "replay", error.message)
        if not isinstance(error, EffectError):
            log.error("%s failed", name, exc_info=error)
            error = EffectError(f"{name} failed: internal error ({type(error).__name__})")
        return messages.refusal(task, error.as_table()) + _releases(functions)


def _releases(functions: list[LuaFunction]) -> bytes:
    return b"".join(messages.release(f) for f in functions if not f.retained)
