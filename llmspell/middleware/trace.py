from __future__ import annotations

import time
from typing import Protocol

from llmspell.concurrency import settled
from llmspell.effects import Effect, Handler, Perform, Run
from llmspell.values import Value


class Observer(Protocol):
    """Watches the effects of a run, for progress displays and logs."""

    def started(self, effect: Effect) -> None: ...

    def finished(self, effect: Effect, seconds: float, error: BaseException | None) -> None: ...


class Observers(list[Observer]):
    """The observers of a run; fixed when it starts."""


class Trace:
    """Tells the run's observers of every effect."""

    name = "trace"

    def wrap(self, handler: Handler, call: Perform, run: Run) -> Perform:  # noqa: ARG002
        observers = run[Observers]
        if not observers:
            return call

        async def traced(effect: Effect) -> Value:
            begin = time.perf_counter()
            for observer in observers:
                observer.started(effect)
            error: BaseException | None = None
            try:
                return await settled(call(effect))
            except BaseException as caught:
                error = caught
                raise
            finally:
                for observer in observers:
                    observer.finished(effect, time.perf_counter() - begin, error)

        return traced
