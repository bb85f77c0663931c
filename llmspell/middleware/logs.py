from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from llmspell.concurrency import settled
from llmspell.effects import Effect, Handler, Perform
from llmspell.errors import LlmspellError
from llmspell.middleware.selective import Selective
from llmspell.values import Value

log = logging.getLogger("llmspell.effects")


class Logging(Selective):
    """Logs each effect once it has ended: what it was, how long it took, how it failed.

    Arguments and results are not logged: there may be secrets in them.
    """

    def __init__(
        self,
        *,
        name: str = "logging",
        effects: str | Iterable[str] = "*",
        before: str | None = None,
        after: str | None = "trace",
        level: int = logging.INFO,
    ) -> None:
        """Make one; what failed is logged as a warning, the rest with `level`."""
        super().__init__(name, effects=effects, before=before, after=after)
        self.level = level

    def around(self, handler: Handler, call: Perform) -> Perform:  # noqa: ARG002
        async def logged(effect: Effect) -> Value:
            begin = time.perf_counter()
            try:
                result = await settled(call(effect))
            except Exception as error:
                kind = error.code if isinstance(error, LlmspellError) else type(error).__name__
                _tell(logging.WARNING, effect, f"failed after {_since(begin)} with {kind}: {error}")
                raise
            except BaseException:
                _tell(self.level, effect, f"was cancelled after {_since(begin)}")
                raise
            _tell(self.level, effect, f"took {_since(begin)}")
            return result

        return logged


def _tell(level: int, effect: Effect, what: str) -> None:
    log.log(level, "run %s %s %s %s", effect.run.id, effect.path, effect.name, what)


def _since(begin: float) -> str:
    return f"{(time.perf_counter() - begin) * 1000:.1f} ms"
