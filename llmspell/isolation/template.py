"""The host's side of the template, the process that workers are forked from."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from llmspell.errors import IsolationError

_PAIR = struct.Struct("<ii")
_WORKER_MAIN = Path(__file__).with_name("worker_main.py")
_ENVIRONMENT = ("TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_EXIT_TIMEOUT = 5  # seconds to wait for its end
_STDERR_TAIL = 2000  # bytes to keep from the end of its stderr


class Template:
    """Forks workers, signals them, and reports their ends. For the protocol see worker_main.py."""

    def __init__(self, setup: bytes, ended: Callable[[int, int], None]) -> None:
        """Start the template process.

        Args:
            setup: The input that every worker shares, see worker_main.py.
            ended: Called with the process id and wait status of each worker that ended, and
                with 0, 0 when the template itself has ended.

        Raises:
            IsolationError: This system cannot fork.
        """
        if not hasattr(os, "fork"):
            raise IsolationError(
                f"a spell cannot be isolated on {sys.platform}: its processes cannot fork",
                hint="run one that you trust with --no-isolate",
            )
        self._ended, self._stderr = ended, b""
        self._control, theirs = socket.socketpair()
        self._control.setblocking(False)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the rest
        with theirs, tempfile.TemporaryFile() as given:
            given.write(setup)
            given.seek(0)
            self._process = subprocess.Popen(  # noqa: S603 - our own script
                [sys.executable, "-I", "-S", str(_WORKER_MAIN), str(theirs.fileno()), *_folders()],
                pass_fds=[theirs.fileno()],
                env=_environment(),
                stdin=given,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                process_group=0,  # Ctrl-C on the terminal is the host's to handle
            )
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._control, self._on_readable)

    def fork(self, pipe: socket.socket) -> None:
        """Fork a worker that communicates through that socket."""
        socket.send_fds(self._control, [_PAIR.pack(0, 0)], [pipe.fileno()])

    def signal(self, pid: int, number: int) -> None:
        """Send a signal to a worker, if it still exists."""
        with suppress(OSError):  # the template has just ended, and its workers too
            self._control.send(_PAIR.pack(pid, number))

    def stderr_tail(self) -> str:
        """Return the end of what it wrote to stderr."""
        if not self._errors.closed:
            self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - _STDERR_TAIL))
            self._stderr = self._errors.read()
        return self._stderr.decode(errors="replace").strip()

    async def close(self) -> None:
        """End the template and all its workers, even if the caller is cancelled."""
        from anyio import CancelScope, to_thread

        self._close_control()
        with CancelScope(shield=True):
            await to_thread.run_sync(self._reap)

    def _on_readable(self) -> None:
        try:
            data = self._control.recv(_PAIR.size)
        except ConnectionError:
            data = b""
        if data:
            self._ended(*_PAIR.unpack(data))
        else:
            self._close_control()
            self._reap()
            self._ended(0, 0)

    def _close_control(self) -> None:
        """Close the connection, at which the template ends."""
        self._loop.remove_reader(self._control)
        self._control.close()
        self.stderr_tail()
        self._errors.close()

    def _reap(self) -> None:
        try:
            self._process.wait(_EXIT_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _environment() -> dict[str, str]:
    """Return an environment with what Python needs for libraries and the time zone only."""
    named = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    # Without TZ, libc would check the time zone file again and again, which a worker cannot open.
    return {"TZ": ":/etc/localtime"} | named


def _folders() -> set[str]:
    """Return the folders where a Python without site-packages finds what a worker imports."""
    specs = (find_spec(name) for name in ("llmspell", "lupa"))
    return {str(Path(spec.origin).parents[1]) for spec in specs if spec and spec.origin}
