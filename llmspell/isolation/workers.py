"""The workers for the runs of one runtime."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
from collections import deque
from contextlib import suppress

from llmspell.concurrency import cancel, new_task
from llmspell.eager_steps import within
from llmspell.errors import IsolationError
from llmspell.isolation.template import Template
from llmspell.isolation.watchdog import Watchdog
from llmspell.isolation.worker import Worker
from llmspell.lua.image import Image

_MEMORY = struct.Struct("<Q")
_ALLOWANCE = 3  # times the memory limit: for Lua, and for a message as bytes on its way in and out
_BASE = 64 << 20  # bytes that Python itself may need
_START_TIMEOUT = 10  # seconds for a worker to start
SPARES = 2  # workers kept ready, once more than one was needed
REFILL_AFTER = 0.01  # seconds; the run that took a spare has a processor for its start meanwhile


class Workers:
    """Forks workers on demand, and keeps some ready.

    Attributes:
        memory: The highest memory limit of a run in one of them.
    """

    def __init__(self, image: Image, *, memory: int) -> None:
        """Store the settings; the first worker is forked when it is needed.

        Args:
            image: The bytecode that every state is created from.
            memory: The value of the attribute.
        """
        self.memory = memory
        self._setup = _MEMORY.pack(_ALLOWANCE * memory + _BASE) + image.code
        self._watch = Watchdog()
        self._template: Template | None = None
        self._running: dict[int, Worker] = {}
        self._spares: deque[Worker] = deque()
        self._refilling: asyncio.Task[None] | None = None
        self._forking = asyncio.Semaphore(os.cpu_count() or 1)
        self._taken = 0

    async def take(self) -> Worker:
        """Return a worker for one run; the caller has to close it. Raises IsolationError."""
        self._taken += 1
        worker = self._spares.popleft() if self._spares else await self._fork()
        if self._taken > 1 and (self._refilling is None or self._refilling.done()):
            self._refilling = new_task(self._refill())
        return worker

    async def close(self) -> None:
        """End all workers."""
        if self._refilling:
            await cancel([self._refilling])
        self._watch.close()
        if self._template:
            template, self._template = self._template, None
            self._drop_all()
            await template.close()

    async def _refill(self) -> None:
        await asyncio.sleep(REFILL_AFTER)
        with suppress(IsolationError):  # the next run that needs one is told
            while len(self._spares) < SPARES:
                self._spares.append(await self._fork())

    async def _fork(self) -> Worker:
        async with self._forking:
            return await self._fork_one()

    async def _fork_one(self) -> Worker:
        try:
            if self._template is None:
                self._template = Template(self._setup, self._ended)
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise _not_started(error) from error
        template = self._template
        worker = Worker(self._watch, self._signal)
        try:
            with theirs:
                await asyncio.get_running_loop().create_unix_connection(lambda: worker, sock=ours)
                template.fork(theirs)
            # `asyncio.wait_for` of Python 3.11 may swallow a cancellation.
            await within(_START_TIMEOUT, worker.greet())
        except (OSError, EOFError, TimeoutError) as error:
            raise _not_started(error, stderr=template.stderr_tail()) from error
        finally:
            if not worker.pid:
                worker.hang_up()  # at which the process, if there is one, ends
                ours.close()
        self._running[worker.pid] = worker
        return worker

    def _signal(self, worker: Worker, number: signal.Signals) -> None:
        if self._template and worker.pid in self._running:
            self._template.signal(worker.pid, number)

    def _ended(self, pid: int, status: int) -> None:
        if pid == 0:  # the template: its workers end with it
            self._template = None
            self._drop_all()
        elif worker := self._running.pop(pid, None):
            if worker in self._spares:
                self._spares.remove(worker)
            worker.gone(status)

    def _drop_all(self) -> None:
        for pid in list(self._running):
            self._ended(pid, signal.SIGKILL)


def _not_started(error: Exception, **details: str) -> IsolationError:
    return IsolationError(
        f"the process for a spell did not start: {str(error) or type(error).__name__}",
        hint="see: llmspell doctor",
        details=details,
    )
