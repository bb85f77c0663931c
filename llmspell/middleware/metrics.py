from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Iterable
from pathlib import Path

from llmspell.concurrency import Answer
from llmspell.effects import Effect, Handler, Perform
from llmspell.middleware.measured import Measured
from llmspell.middleware.prometheus import exposition
from llmspell.middleware.selective import Selective
from llmspell.values import Value

log = logging.getLogger("llmspell.metrics")


class Metrics(Selective):
    """Counts effects, their errors and how long they take.

    Attributes:
        measured: By effect name, over all runs of the runtime.
    """

    def __init__(
        self,
        *,
        name: str = "metrics",
        effects: str | Iterable[str] = "*",
        before: str | None = None,
        after: str | None = "trace",
        file: Path | None = None,
    ) -> None:
        """Make one.

        Args:
            name: Its name; two of them need two.
            effects: Names of the effects it is for, with `*` for any part.
            before: It stands outside the one of that name; or
            after: it stands inside the one of that name.
            file: Where to write what was measured, when the runtime stops, in Prometheus' format.
        """
        super().__init__(name, effects=effects, before=before, after=after)
        self.file = file
        self.measured: dict[str, Measured] = {}

    def around(self, handler: Handler, call: Perform) -> Perform:
        measured = self.measured.setdefault(handler.name, Measured())

        def counted(effect: Effect) -> Answer[Value]:
            begin = time.perf_counter()
            try:
                answer = call(effect)
            except BaseException as error:
                measured.add(time.perf_counter() - begin, error)
                raise
            if hasattr(answer, "__await__"):
                return awaited(answer, begin)
            measured.add(time.perf_counter() - begin)
            return answer

        async def awaited(answer: Awaitable[Value], begin: float) -> Value:
            error: BaseException | None = None
            try:
                return await answer
            except BaseException as caught:
                error = caught
                raise
            finally:
                measured.add(time.perf_counter() - begin, error)

        return counted

    def close(self) -> None:
        """Log what was measured, and write the file, when the runtime stops."""
        for name, found in sorted(self.measured.items()):
            failed = f", {found.errors.total()} failed" if found.errors else ""
            log.info(
                "%s: %d%s, mean %.3g ms, 95%% within %.3g ms, slowest %.3g ms",
                name,
                found.calls,
                failed,
                1000 * found.seconds / max(found.calls, 1),
                1000 * found.quantile(0.95),
                1000 * found.slowest,
            )
        if self.file is not None:
            self._write(self.file)

    def exposition(self) -> str:
        """What was measured, in the text format that Prometheus reads."""
        return exposition(self.measured)

    def _write(self, file: Path) -> None:
        """Put a whole file in the place of what is there."""
        new = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            new.write_text(self.exposition(), "utf-8")
            new.replace(file)
        except OSError as error:
            log.warning("the metrics are not written: %s", error)
