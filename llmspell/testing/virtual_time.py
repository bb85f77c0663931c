"""An event loop in which waiting takes no time: when it is idle, its clock jumps ahead.

    from llmspell.testing.virtual_time import run

    run(main())    # as asyncio.run does; `await asyncio.sleep(7 * 86400)` returns at once

Everything that uses the loop's clock is in virtual time: `Task.sleep`, timeouts, retries,
cool-downs, `os.time` and the tool `now`. While a connection, a program, a thread or an isolated
spell is active, time passes as usual, since it is unknown when that will be done.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, Unpack

if TYPE_CHECKING:
    from anyio import CapacityLimiter

    from llmspell.threads import Threads

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

GRACE = 0.001  # seconds to wait for events from other threads before the clock jumps


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """The event loop. Its clock starts at the real time, or at `start`.

    Attributes:
        skipped: Seconds by which its clock has jumped ahead.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self.skipped = 0.0
        self._ahead = 0.0 if start is None else start.timestamp() - time.time()
        self._in_threads = 0
        self._programs: list[asyncio.SubprocessTransport] = []
        self._limiter: CapacityLimiter | None = None
        self._threads: Threads | None = None
        self._watched = _Skipping(self)
        super().__init__(self._watched)
        self._own = set(self._watched.get_map())

    def time(self) -> float:
        return time.monotonic() + self.skipped

    def now(self) -> float:
        """Return the Unix time in seconds."""
        return time.time() + self._ahead + self.skipped

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self._in_threads += 1
        future.add_done_callback(self._thread_done)
        return future

    async def subprocess_exec(self, *args: Any, **kwargs: Any) -> Any:
        return self._started(await super().subprocess_exec(*args, **kwargs))

    async def subprocess_shell(self, *args: Any, **kwargs: Any) -> Any:
        return self._started(await super().subprocess_shell(*args, **kwargs))

    def _started(self, program: tuple[asyncio.SubprocessTransport, Any]) -> Any:
        self._programs.append(program[0])
        return program

    def watch_threads(self) -> None:
        """Watch worker threads: anyio's, and those of tools. Called once, in a task of this loop."""
        from anyio.to_thread import current_default_thread_limiter

        from llmspell.threads import current_threads

        self._limiter, self._threads = current_default_thread_limiter(), current_threads()

    @property
    def busy(self) -> bool:
        """Whether a thread, program or connection is active, so that time has to pass as usual."""
        if self._in_threads or (self._limiter and self._limiter.borrowed_tokens):
            return True
        # A program may have closed its pipes, and its end arrives from a thread of asyncio's.
        if any(program.get_returncode() is None for program in self._programs):
            return True
        if self._threads and self._threads.busy:
            return True
        return any(fd not in self._own and not _listens(fd) for fd in self._watched.get_map())

    def _thread_done(self, _: object) -> None:
        self._in_threads -= 1


class _Skipping(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or timeout <= 0 or self._loop.busy:
            return super().select(timeout)
        begin = time.monotonic()
        events = super().select(min(timeout, GRACE))
        if not events:
            self._loop.skipped += max(0.0, timeout - (time.monotonic() - begin))
        return events


def _listens(fd: object) -> bool:
    """Whether it is a listening socket."""
    if not isinstance(fd, int):
        return False
    try:
        seen = socket.socket(fileno=fd)
    except OSError:
        return False  # not a socket
    try:
        return bool(seen.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    finally:
        seen.detach()


def run(main: Coroutine[Any, Any, T], *, start: datetime | None = None) -> T:
    """Run a coroutine to its end in a new virtual-time loop, like `asyncio.run`.

    Args:
        main: The coroutine.
        start: The time at which the clock starts; by default the current time.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(start)) as runner:
        return runner.run(_run_watching_threads(main))


async def _run_watching_threads(main: Coroutine[Any, Any, T]) -> T:
    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualTimeLoop):
        loop.watch_threads()
    return await main
