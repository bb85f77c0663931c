"""An event loop in which waiting takes no time: when there is nothing to do but wait, it is later.

    from llmspell.testing.virtual_time import run

    run(main())    # as asyncio.run does; `await asyncio.sleep(7 * 86400)` returns at once

All that goes by the loop's clock goes by virtual time: `Task.sleep`, timeouts, retries, cool-downs,
`os.time` and the tool `now`. As long as a connection, a program, a thread or an isolated spell is at
work, time passes as it does, since nobody knows when it will have been done.
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

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

GRACE = 0.001  # seconds in which what another thread hands over may still come


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """The loop. Its clock begins with the real one, or at `start`.

    Attributes:
        skipped: Seconds that nobody had to wait.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self.skipped = 0.0
        self._ahead = 0.0 if start is None else start.timestamp() - time.time()
        self._in_threads = 0
        self._limiter: CapacityLimiter | None = None
        self._watched = _Skipping(self)
        super().__init__(self._watched)
        self._own = set(self._watched.get_map())

    def time(self) -> float:
        return time.monotonic() + self.skipped

    def now(self) -> float:
        """Seconds since 1970, UTC."""
        return time.time() + self._ahead + self.skipped

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self._in_threads += 1
        future.add_done_callback(self._left_thread)
        return future

    def mind_threads(self) -> None:
        """Take note of threads that anyio has at work. Called once, in a task of this loop."""
        from anyio.to_thread import current_default_thread_limiter

        self._limiter = current_default_thread_limiter()

    @property
    def busy(self) -> bool:
        """Whether something is at work that time depends on."""
        if self._in_threads or (self._limiter and self._limiter.borrowed_tokens):
            return True
        return any(fd not in self._own and not _listens(fd) for fd in self._watched.get_map())

    def _left_thread(self, _: object) -> None:
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
    """Whether it is a socket that waits for others to connect."""
    if not isinstance(fd, int):
        return False
    try:
        seen = socket.socket(fileno=fd)
    except OSError:
        return False  # it is no socket
    try:
        return bool(seen.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    finally:
        seen.detach()


def run(main: Coroutine[Any, Any, T], *, start: datetime | None = None) -> T:
    """Run it to its end in a loop of its own, as `asyncio.run` does.

    Args:
        main: The coroutine.
        start: The time at which it begins; by default the present.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(start)) as runner:
        return runner.run(_minding(main))


async def _minding(main: Coroutine[Any, Any, T]) -> T:
    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualTimeLoop):
        loop.mind_threads()
    return await main
