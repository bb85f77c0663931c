from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from llmspell.atomic_files import replace_file
from llmspell.concurrency import Answer, Followed, reporting
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
    """Measures effects: calls, errors and durations.

    When the runtime stops, the figures are logged. Together with those of models, hooks and events
    they are added to the project's metrics, which `llmspell metrics` prints.

    Attributes:
        measured: The figures by effect name, over all runs of the runtime.
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
        """Configure the middleware.

        Args:
            name: Its name; must be unique.
            effects: Names of the effects it applies to; `*` matches any part.
            before: The name of the middleware to place it directly outside of; or
            after: the one to place it directly inside of.
            file: Where to write the metrics of this runtime when it stops, in Prometheus text
                format.
            keep: Whether to add the metrics to those of the project.
        """
        super().__init__(name, effects=effects, before=before, after=after)
        self.file, self.keep = file, keep
        self._runtime: Runtime | None = None
        self.measured: dict[str, EffectMetrics] = {}

    def open(self, runtime: Runtime) -> None:
        """Remember the runtime; called when it starts."""
        self._runtime = runtime

    def around(self, handler: Handler, call: Perform) -> Perform:
        measured = self.measured.setdefault(handler.name, EffectMetrics())

        def counted(effect: Effect) -> Answer[Value]:
            begin = time.perf_counter()

            def ended(error: BaseException | None) -> None:
                measured.add(time.perf_counter() - begin, error)

            try:
                answer = call(effect)
            except BaseException as error:
                ended(error)
                raise
            if hasattr(answer, "__await__"):
                return Followed(answer, partial(reporting, ended))
            ended(None)
            return answer

        return counted

    def close(self) -> None:
        """Log the figures, write the file and update the project's metrics, as the runtime stops."""
        for name, metrics in sorted(self.measured.items()):
            failed = f", {metrics.errors.total()} failed" if metrics.errors else ""
            log.info(
                "%s: %d%s, mean %.3g ms, 95%% within %.3g ms, slowest %.3g ms",
                name,
                metrics.calls,
                failed,
                1000 * metrics.seconds / max(metrics.calls, 1),
                1000 * metrics.quantile(0.95),
                1000 * metrics.slowest,
            )
        values = self.figures()
        if self.file is not None:
            text = exposition(values).encode()
            self._write(lambda file: replace_file(file, text, durable=False), self.file)
        if self._runtime is not None and self._keeps_for(self._runtime):
            kept = self._runtime.project.metrics_file
            self._write(lambda file: MetricsFile(file).add(values), kept)

    def _keeps_for(self, runtime: Runtime) -> bool:
        """Return whether this is the instance that updates the project's metrics, among several."""
        keeping = [m for m in runtime.middleware if isinstance(m, Metrics) and m.keep]
        return keeping[:1] == [self]

    def figures(self) -> dict[str, float]:
        """Return the metrics of effects, and of its runtime's models, hooks and events."""
        values = dict(
            one for name, metrics in self.measured.items() for one in histogram(name, metrics)
        )
        if (runtime := self._runtime) is not None:
            values |= of_spending(runtime.spent) | of_hooks(runtime.hooks)
            values |= of_events(runtime.events) | {"llmspell_runtimes_total": 1}
        return values

    def exposition(self) -> str:
        """Return the metrics in Prometheus text format."""
        return exposition(self.figures())

    def _write(self, write: Callable[[Path], None], file: Path) -> None:
        try:
            write(file)
        except (OSError, ValueError) as error:
            log.warning("the metrics could not be written to %s: %s", file, error)
