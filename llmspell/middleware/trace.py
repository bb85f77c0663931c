from __future__ import annotations

import logging
import time
from asyncio import CancelledError
from functools import partial
from typing import Protocol

from llmspell.concurrency import Answer, Followed, reporting
from llmspell.effects import Effect, Handler, Perform, Run
from llmspell.values import Value

log = logging.getLogger("llmspell.middleware")


class Observer(Protocol):
    """Watches the effects of a run, for progress displays and logs."""

    def started(self, effect: Effect) -> None: ...

    def finished(self, effect: Effect, seconds: float, error: BaseException | None) -> None: ...


class Observers(list[Observer]):
    """The observers of a runtime. One that fails is removed."""

    def started(self, effect: Effect) -> None:
        for observer in tuple(self):
            try:
                observer.started(effect)
            except Exception as error:  # noqa: BLE001 - an observer may raise anything
                self._drop(observer, error)

    def finished(self, effect: Effect, seconds: float, error: BaseException | None) -> None:
        for observer in tuple(self):
            try:
                observer.finished(effect, seconds, error)
            except Exception as failure:  # noqa: BLE001
                self._drop(observer, failure)

    def _drop(self, observer: Observer, error: Exception) -> None:
        self.remove(observer)
        kind = type(observer).__name__
        problem = f"{type(error).__name__}: {error}"
        log.warning(
            "the observer %s failed and receives no further notifications: %s", kind, problem
        )
        log.debug("its traceback", exc_info=error)


class Trace:
    """Notifies the run's observers of every effect.

    What is answered immediately still is: whether anybody observes must not change what happens
    first, and so what a replay does.
    """

    name = "trace"

    def wrap(self, handler: Handler, call: Perform, run: Run) -> Perform:  # noqa: ARG002
        observers = run[Observers]
        if not observers:
            return call

        def traced(effect: Effect) -> Answer[Value]:
            begin = time.perf_counter()
            observers.started(effect)

            def ended(error: BaseException | None) -> None:
                observers.finished(effect, time.perf_counter() - begin, error)

            try:
                answer = call(effect)
            except BaseException as error:
                ended(error)
                raise
            if hasattr(answer, "__await__"):
                return Followed(answer, partial(reporting, ended), lambda: ended(CancelledError()))
            ended(None)
            return answer

        return traced
