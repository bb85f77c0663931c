from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from llmspell.concurrency import settled
from llmspell.effects import Effect, Handler, Perform
from llmspell.errors import LlmspellError
from llmspell.hooks.builtin.logs import shown, since, tell
from llmspell.middleware.filtered import FilteredMiddleware
from llmspell.values import Value


class Logging(FilteredMiddleware):
    """Logs each effect once it has ended: what it was, how long it took, how it failed.

    Arguments and results are not logged: there may be secrets in them. `Debugging` does.
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
        """Make one.

        Args:
            name: Its name, by default "logging"; two of them need two.
            effects: Names of the effects it is for, with `*` for any part.
            before: It stands outside the one of that name; or
            after: it stands inside the one of that name.
            level: That of `logging` with which effects are logged; what failed is a warning.
        """
        super().__init__(name or self.usual_name, effects=effects, before=before, after=after)
        self.level = level

    def around(self, handler: Handler, call: Perform) -> Perform:  # noqa: ARG002
        async def logged(effect: Effect) -> Value:
            begin, args = time.perf_counter(), effect.args
            try:
                result = await settled(call(effect))
            except Exception as error:
                kind = error.code if isinstance(error, LlmspellError) else type(error).__name__
                failed = f"failed after {since(begin)} with {kind}: {error}"
                tell(logging.WARNING, effect, failed + self._shown(args))
                raise
            except BaseException:
                tell(self.level, effect, f"was cancelled after {since(begin)}")
                raise
            tell(self.level, effect, f"took {since(begin)}{self._shown(args, result)}")
            return result

        return logged

    def _shown(self, *values: Value) -> str:
        """Arguments and result, if they are to be shown."""
        return shown(*values) if self.values else ""


class Debugging(Logging):
    """Logs each effect with its arguments and its result, or how it failed.

    Long texts and large tables are cut short, and what looks like a key is blotted out. It is made
    as `Logging` is.
    """

    usual_name, values = "debugging", True
