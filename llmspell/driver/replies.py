"""The messages that tell a task of a spell what became of its effect."""

from __future__ import annotations

from collections.abc import Sequence

from llmspell.effects import as_effect_error
from llmspell.errors import (
    EffectError,
    InvalidResult,
    LimitExceeded,
    ReplayError,
    RunSuspended,
)
from llmspell.lua import messages
from llmspell.values import LuaFunction, NotPlain, Value


class Replies:
    """Composes the replies of one run.

    Attributes:
        fatal: The error of an effect that ends the run, once there is one.
    """

    def __init__(self) -> None:
        self.fatal: LimitExceeded | ReplayError | RunSuspended | None = None

    def reply(self, task: int, name: str, functions: Sequence[LuaFunction], result: Value) -> bytes:
        """Return the reply with an effect's result, or the refusal of one that Lua cannot hold."""
        try:
            reply = messages.reply(task, result)
        except NotPlain as error:
            return self.refusal(task, name, functions, InvalidResult(f"{name}: {error}"))
        return reply + _releases(functions) if functions else reply

    def refusal(
        self, task: int, name: str, functions: Sequence[LuaFunction], error: BaseException
    ) -> bytes:
        """Return the reply to an effect that failed; the spell sees only errors of effects."""
        failure = as_effect_error(name, error)
        if isinstance(failure, EffectError):
            return messages.refusal(task, failure.as_table()) + _releases(functions)
        self.fatal = failure
        limit = failure.limit if isinstance(failure, LimitExceeded) else "replay"
        return messages.kill(task, limit, failure.message)


def _releases(functions: Sequence[LuaFunction]) -> bytes:
    return b"".join(messages.release(f) for f in functions if not f.retained)
