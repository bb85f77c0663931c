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
from llmspell.journal.labels import label_of
from llmspell.lua import messages
from llmspell.values import LuaFunction, NotPlain, Value

_LONGEST_LABEL = 100  # characters

Asked = tuple[str, Value]
"""The name and the arguments of an effect."""


class Replies:
    """Composes the replies of one run.

    Attributes:
        fatal: The error of an effect that ends the run, once there is one.
    """

    def __init__(self) -> None:
        self.fatal: LimitExceeded | ReplayError | RunSuspended | None = None

    def reply(
        self, task: int, asked: Asked, functions: Sequence[LuaFunction], result: Value
    ) -> bytes:
        """Return the reply with an effect's result, or the refusal of one that Lua cannot hold."""
        try:
            reply = messages.reply(task, result)
        except NotPlain as error:
            return self.refusal(task, asked, functions, InvalidResult(f"{_what(asked)}: {error}"))
        return reply + _releases(functions) if functions else reply

    def refusal(
        self, task: int, asked: Asked, functions: Sequence[LuaFunction], error: BaseException
    ) -> bytes:
        """Return the reply to an effect that failed; the spell sees only errors of effects."""
        failure = as_effect_error(asked[0], error)
        if isinstance(failure, EffectError):
            return messages.refusal(task, failure.as_table()) + _releases(functions)
        self.fatal = failure
        limit = failure.limit if isinstance(failure, LimitExceeded) else "replay"
        return messages.kill(task, limit, failure.message)


def _what(asked: Asked) -> str:
    """Return the effect, and what it is about, such as "tool.call price"."""
    name, args = asked
    label = label_of(name, args) if isinstance(args, dict) else ""
    return f"{name} {label[:_LONGEST_LABEL]}".strip()


def _releases(functions: Sequence[LuaFunction]) -> bytes:
    return b"".join(messages.release(f) for f in functions if not f.retained)
