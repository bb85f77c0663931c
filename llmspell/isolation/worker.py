"""The host's side of a worker: a Lua state in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import struct
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import cast

from llmspell.isolation.watchdog import Watchdog
from llmspell.limits import Limits
from llmspell.lua.messages import Kill, killed

_LENGTH = struct.Struct("<I")
_SHORT = 1 << 16


class Worker(asyncio.Protocol):
    """A process that runs one spell, used by the driver like a local state. It is not trusted.

    Attributes:
        pid: Its process id.
        measures: The measures that confine it, see confinement.py.
        time: The CPU time limit of one turn, in seconds.
    """

    def __init__(self, watch: Watchdog, signal_: Callable[[Worker, signal.Signals], None]) -> None:
        self.pid = 0
        self.measures: list[str] = []
        self.time = 0.0
        self._watch, self._signal = watch, signal_
        self._new = True
        self._longest = _SHORT
        self._received = bytearray()
        self._answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._reason: Kill | None = None
        self._tell: Callable[[], None] | None = None
        self._transport: asyncio.WriteTransport | None = None

    async def greet(self) -> None:
        """Receive its process id and measures, which it sends first, before any spell runs."""
        self.pid, self.measures = json.loads(await self._answer)

    def set_up(self, limits: Limits, *, seed: int, tools: Sequence[str]) -> None:
        """Send the parameters of the Lua state; see `Vm`."""
        self.time, self._longest = limits.time, limits.memory + _SHORT
        self._send(json.dumps([asdict(limits), seed, list(tools)]).encode())

    def resume(self, message: bytes) -> asyncio.Future[bytes]:
        """Pass messages and let Lua run until it waits; return its messages, see messages.py."""
        self._answer = asyncio.get_running_loop().create_future()
        if self._reason:
            self._answer.set_result(killed(self._reason))
        else:
            new, self._new = self._new, False
            self._watch.begin(self, lambda: self._send(message), new=new)
        return self._answer

    resume_apart = resume  # it never occupies the event loop

    def on_end(self, tell: Callable[[], None]) -> None:
        """Call `tell` if the process ends while nobody waits for it; `resume` then says why."""
        self._tell = tell

    def hang_up(self) -> None:
        if self._transport:
            self._transport.abort()

    def close(self) -> None:
        self._end(Kill("worker", "the run is over", None, ""))

    def pause(self) -> None:
        self._signal(self, signal.SIGSTOP)

    def unpause(self) -> None:
        self._signal(self, signal.SIGCONT)

    def overdue(self) -> None:
        self._end(Kill("time", "time limit exceeded", None, ""))

    def gone(self, status: int) -> None:
        """Handle the end of the process; `status` is its wait status, as from `os.wait`."""
        self._reason = self._reason or _reason(status)
        self.hang_up()
        self._watch.end(self)
        if not self._answer.done():
            self._answer.set_result(killed(self._reason))
        elif self._tell:
            self._tell()

    def _end(self, reason: Kill) -> None:
        """Kill the process, if it still exists; `gone` is called a moment later."""
        if self._reason is None:
            self._reason = reason
            self._signal(self, signal.SIGKILL)

    def _send(self, data: bytes) -> None:
        cast("asyncio.WriteTransport", self._transport).write(_LENGTH.pack(len(data)) + data)

    # Callbacks of `asyncio.Protocol`.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) < _LENGTH.size:
            return
        end = _LENGTH.size + _LENGTH.unpack_from(self._received)[0]
        if len(self._received) < end <= self._longest:
            return
        if len(self._received) > end or end > self._longest or self._answer.done():
            self._end(Kill("worker", "the spell's process broke its protocol", None, ""))
            return
        self._watch.end(self)
        self._answer.set_result(bytes(self._received[_LENGTH.size :]))
        self._received.clear()

    def connection_lost(self, error: Exception | None) -> None:
        if self.pid:
            self._signal(self, signal.SIGKILL)  # its wait status says why it ended
        elif not self._answer.done():
            self._answer.set_exception(error or EOFError())
            self._answer.exception()  # marks it as retrieved, since nobody may await it


def _reason(status: int) -> Kill:
    """Return why a process ended that the host has not killed."""
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGXCPU:
        return Kill("time", "time limit exceeded", None, "")
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return Kill("worker", f"the spell's process ended: {how}", None, "")
