from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from llmspell.atomic_files import replace_file
from llmspell.concurrency import Answer, Followed
from llmspell.effects import Effect, Handler, Perform
from llmspell.metrics.collectors import of_events, of_hooks, of_spending
from llmspell.metrics.effect_metrics import EffectMetrics, histogram
from llmspell.metrics.exposition import exposition
from llmspell.metrics.metrics_file import MetricsFile
from llmspell.middleware.filtered import FilteredMiddleware
from llmspell.values import Value

if TYPE_CHECKING:
    from llmspell.runtime import Runtime

log = logging.getLogger("llmspell.metrics")


class Metrics(FilteredMiddleware):
    """Counts effects, their errors and how long they take.

    When the runtime stops, that is logged and, with what there is to say of models, hooks and
    events, added to the figures of the project, which `llmspell metrics` prints.

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
        keep: bool = True,
    ) -> None:
        """Make one.

        Args:
            name: Its name; two of them need two.
            effects: Names of the effects it is for, with `*` for any part.
            before: It stands outside the one of that name; or
            after: it stands inside the one of that name.
            file: Where to write the figures of this runtime, when it stops, in Prometheus' format.
            keep: Whether they are added to those of the project.
        """
        super().__init__(name, effects=effects, before=before, after=after)
        self.file, self.keep = file, keep
        self._runtime: Runtime | None = None
        self.measured: dict[str, EffectMetrics] = {}

    def open(self, runtime: Runtime) -> None:
        """The runtime it belongs to begins."""
        self._runtime = runtime

    def around(self, handler: Handler, call: Perform) -> Perform:
        measured = self.measured.setdefault(handler.name, EffectMetrics())

        def counted(effect: Effect) -> Answer[Value]:
            begin = time.perf_counter()
            try:
                answer = call(effect)
            except BaseException as error:
                measured.add(time.perf_counter() - begin, error)
                raise
            if hasattr(answer, "__await__"):
                return Followed(answer, partial(awaited, begin))
            measured.add(time.perf_counter() - begin)
            return answer

        async def awaited(begin: float, answer: Awaitable[Value]) -> Value:
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
        """Log what was measured, write the file, and keep it, when the runtime stops."""
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
        values = self.figures()
        if self.file is not None:
            text = exposition(values).encode()
            self._write(lambda file: replace_file(file, text, durable=False), self.file)
        if self._runtime is not None and self._keeps_for(self._runtime):
            kept = self._runtime.project.metrics_file
            self._write(lambda file: MetricsFile(file).add(values), kept)

    def _keeps_for(self, runtime: Runtime) -> bool:
        """Whether it keeps the figures of the project, where there are several that may."""
        keeping = [m for m in runtime.middleware if isinstance(m, Metrics) and m.keep]
        return keeping[:1] == [self]

    def figures(self) -> dict[str, float]:
        """What was measured, and what the runtime it belongs to has to say of itself in figures."""
        values = dict(
            one for name, found in self.measured.items() for one in histogram(name, found)
        )
        if (runtime := self._runtime) is not None:
            values |= of_spending(runtime.spent) | of_hooks(runtime.hooks)
            values |= of_events(runtime.events) | {"llmspell_runtimes_total": 1}
        return values

    def exposition(self) -> str:
        """The figures, in the text format that Prometheus reads."""
        return exposition(self.figures())

    def _write(self, write: Callable[[Path], None], file: Path) -> None:
        try:
            write(file)
        except (OSError, ValueError) as error:
            log.warning("the metrics are not written to %s: %s", file, error)
