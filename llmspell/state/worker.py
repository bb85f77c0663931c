"""A worker thread that executes jobs from event loops in batches."""

from __future__ import annotations

import asyncio
import itertools
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from llmspell.errors import StateError
from llmspell.state.one_loop import OneLoop

T = TypeVar("T")
Resource = TypeVar("Resource")

WAITING = 1024
"""The most jobs that wait for one thread; further callers wait before they can submit."""
BATCH = 256


class Job(Generic[Resource]):
    """A job and its outcome: `answer`, or `error` if it is set."""

    __slots__ = ("_asker", "_place", "answer", "error", "work")

    def __init__(
        self,
        work: Callable[[Resource], Any],
        asker: asyncio.Future[Any],
        place: asyncio.Semaphore,
    ) -> None:
        self.work = work
        self.answer: Any = None
        self.error: BaseException | None = None
        self._asker = asker
        self._place = place

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._asker.get_loop()

    def report(self) -> None:
        """Complete the caller's future unless it was cancelled. Runs in the caller's event loop."""
        self._place.release()
        if self._asker.done():
            return
        if self.error is not None:
            self._asker.set_exception(self.error)
        else:
            self._asker.set_result(self.answer)


class Worker(Generic[Resource]):
    """A daemon thread that starts with the first job.

    Args:
        name: The thread's name.
        serve: Executes a batch of jobs in the thread, setting each one's answer or error.
        finish: Called last in the thread.
        patience: Returns how many seconds to wait for a job before serving an empty batch; called
            each time, in the thread. None means forever.
    """

    def __init__(
        self,
        name: str,
        serve: Callable[[Sequence[Job[Resource]]], None],
        finish: Callable[[], None],
        patience: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._name, self._serve, self._finish = name, serve, finish
        self._patience = patience
        self._jobs: queue.SimpleQueue[Job[Resource] | asyncio.Future[None]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop = OneLoop()
        self._places = asyncio.Semaphore(WAITING)
        self._closed = False

    async def ask(self, work: Callable[[Resource], T]) -> T:
        """Execute `work` in the thread, and return its result or raise its exception.

        Jobs are executed in order. Once submitted, a job is executed even if the caller is
        cancelled. Raises StateError if the worker is closed, or in use in another thread.
        """
        if self._loop.enter():  # a semaphore is bound to the loop in which it first waits
            self._places = asyncio.Semaphore(WAITING)
        places = self._places
        await places.acquire()
        if self._closed:
            places.release()
            raise StateError("the state store is closed", hint="use it before it is closed")
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        asker: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put(Job(work, asker, places))
        return await asker

    async def close(self) -> None:
        """Wait until the submitted jobs are done and the thread has ended."""
        self._closed = True
        thread, self._thread = self._thread, None
        if thread is None:
            return
        finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._jobs.put(finished)
        await finished
        thread.join()

    def _run(self) -> None:
        last = None
        while last is None:
            batch, last = self._next_batch()
            try:
                self._serve(batch)
            except Exception as error:  # noqa: BLE001 - reported to the callers
                for job in batch:
                    job.error = job.error or error
            for loop, jobs in itertools.groupby(batch, lambda job: job.loop):
                _call_in(loop, _report, list(jobs))
        try:
            self._finish()
        finally:
            _call_in(last.get_loop(), _finish, last)

    def _next_batch(self) -> tuple[list[Job[Resource]], asyncio.Future[None] | None]:
        """Return the waiting jobs, and the future of the closing caller once that is reached."""
        batch: list[Job[Resource]] = []
        try:
            item = self._jobs.get(timeout=self._patience())
        except queue.Empty:
            return batch, None
        while isinstance(item, Job):
            batch.append(item)
            if len(batch) == BATCH or self._jobs.empty():
                return batch, None
            item = self._jobs.get()
        return batch, item


def _report(jobs: list[Job[Any]]) -> None:
    for job in jobs:
        job.report()


def _finish(finished: asyncio.Future[None]) -> None:
    if not finished.done():
        finished.set_result(None)


def _call_in(loop: asyncio.AbstractEventLoop, function: Callable[[Any], None], what: Any) -> None:
    try:
        loop.call_soon_threadsafe(function, what)
    except RuntimeError:
        if not loop.is_closed():
            raise
        # The loop is closed, so nobody is left to be notified.
