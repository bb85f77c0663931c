from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from llmspell.concurrency import Answer, Followed
from llmspell.effects import Effect, Handler, Perform
from llmspell.errors import LlmspellError
from llmspell.hooks.builtin.logs import shown, since, tell
from llmspell.middleware.filtered import FilteredMiddleware
from llmspell.values import Value


class Logging(FilteredMiddleware):
    """Logs each effect when it has ended, with its duration or its error.

    Arguments and results are not logged, since they may contain secrets; `Debugging` logs them.
    """

    usual_name, values = "logging", False

    def __init__(
        self,
        *,
        name: str | None = None,
        effects: str | Iterable[str] = "*",
        before: str | None = None,
        after: str | None = "trace",
        level: int = logging.INFO,
    ) -> None:
        """Configure the middleware.

        Args:
            name: Its name, by default "logging"; must be unique.
            effects: Names of the effects it applies to; `*` matches any part.
            before: The name of the middleware to place it directly outside of; or
            after: the one to place it directly inside of.
            level: The log level of successful effects; failures are warnings.
        """
        super().__init__(name or self.usual_name, effects=effects, before=before, after=after)
        self.level = level

    def around(self, handler: Handler, call: Perform) -> Perform:  # noqa: ARG002
        def logged(effect: Effect) -> Answer[Value]:
            begin, args = time.perf_counter(), effect.args
            with self._telling_failure(effect, begin, args):
                answer = call(effect)
            if hasattr(answer, "__await__"):
                return Followed(answer, partial(awaited, effect, begin, args))
            return told(effect, begin, args, answer)

        async def awaited(
            effect: Effect, begin: float, args: dict[str, Value], answer: Awaitable[Value]
        ) -> Value:
            with self._telling_failure(effect, begin, args):
                result = await answer
            return told(effect, begin, args, result)

        def told(effect: Effect, begin: float, args: dict[str, Value], result: Value) -> Value:
            tell(self.level, effect, f"took {since(begin)}{self._shown(args, result)}")
            return result

        return logged

    @contextmanager
    def _telling_failure(
        self, effect: Effect, begin: float, args: dict[str, Value]
    ) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            kind = error.code if isinstance(error, LlmspellError) else type(error).__name__
            failed = f"failed after {since(begin)} with {kind}: {error}"
            tell(logging.WARNING, effect, failed + self._shown(args))
            raise
        except BaseException:
            tell(self.level, effect, f"was cancelled after {since(begin)}")
            raise

    def _shown(self, *values: Value) -> str:
        """Format arguments and result, if they are to be logged."""
        return shown(*values) if self.values else ""


class Debugging(Logging):
    """Logs each effect with its arguments and its result or error.

    Long texts and large tables are shortened, and anything that looks like a key is redacted. The
    options are those of `Logging`.
    """

    usual_name, values = "debugging", True
