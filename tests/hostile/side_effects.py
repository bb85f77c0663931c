"""Detects side effects and leaks of spells in the process that runs them."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import os
import sys
import sysconfig
import threading
import time
import traceback
import warnings
from pathlib import Path
from typing import Any, Self

import llmspell
from llmspell.driver import Driver
from llmspell.engine import Engine
from llmspell.lua.vm import Vm

SOURCE = Path(llmspell.__file__).parents[1]
OWN_PROGRAMS = str(SOURCE / "llmspell")
READABLE = ("/proc/", os.devnull, "/usr/share/zoneinfo", "/etc/localtime", "/usr/lib/os-release")
WORLDLY = (
    *("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto", "os.exec", "os.fork"),
    *("os.system", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.chmod", "os.link"),
    *("os.symlink", "os.truncate", "shutil.", "pty.spawn", "ctypes.dlopen"),
)

MAX_GROWTH = 64 << 20  # bytes; allocators retain some freed memory because of fragmentation
MAX_THREADS = 40  # anyio keeps that many worker threads


class Watch:
    """Notices files, processes and connections, and errors that were only logged.

    There can be only one per process.

    Attributes:
        noticed: What there was since the watch was entered.
    """

    def __init__(self, folder: Path) -> None:
        self.noticed: list[str] = []
        self._on = False
        places = (sys.base_prefix, sys.prefix, *sysconfig.get_paths().values(), SOURCE, folder)
        self._readable = (*map(os.path.realpath, places), *READABLE)
        self._project = folder / ".llmspell"
        sys.addaudithook(self._audit)
        handler = logging.Handler(logging.ERROR)
        handler.emit = self._logged  # type: ignore[method-assign]
        for name in ("llmspell", "asyncio"):
            logging.getLogger(name).addHandler(handler)
            logging.getLogger(name).propagate = False
        sys.unraisablehook = lambda args: self.noticed.append(f"unraisable: {args.exc_value!r}")
        threading.excepthook = lambda args: self.noticed.append(f"in a thread: {args.exc_value!r}")
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_: self.noticed.append(f"warning: {message}")

    def __enter__(self) -> Self:
        self.noticed.clear()
        self._on = True
        asyncio.get_running_loop().set_exception_handler(self._lost)
        return self

    def __exit__(self, *_: object) -> None:
        self._on = False

    def _lost(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.noticed.append(f"in the loop: {context['message']} {_told(context.get('exception'))}")

    def _logged(self, record: logging.LogRecord) -> None:
        if record.name != "llmspell.spell":
            reason = record.exc_info[1] if record.exc_info else None
            self.noticed.append(f"logged: {record.getMessage()} {_told(reason)}")

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if self._on and not self._harmless(event, args):
            self.noticed.append(f"the host did {event} {args!r:.200}")

    def _harmless(self, event: str, args: tuple[Any, ...]) -> bool:
        if event == "open":
            path, _, flags = args
            if isinstance(path, int) or Path(os.fsdecode(path)).is_dir():
                return True  # O_TMPFILE: an unnamed temporary file
            reads = not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if not reads:
                return path == os.devnull or self.is_of_journal(path)
            return os.path.realpath(path).startswith(self._readable)
        if event in {"subprocess.Popen", "os.posix_spawn"}:
            program, arguments = args[:2]
            return program == sys.executable and arguments[3].startswith(OWN_PROGRAMS)
        if event in {"os.mkdir", "os.remove"}:
            return self.is_of_journal(args[0])
        return not event.startswith(WORLDLY)

    def is_of_journal(self, path: Any) -> bool:
        """Whether the path belongs to the journal."""
        path = Path(os.fsdecode(path))
        records = path.parent == self._project and path.name.startswith("runs.db")
        running = self._project / "running"
        return records or path in {self._project, running} or path.parent == running


class Leaks:
    """What finished runs have left behind in the process."""

    def __init__(self) -> None:
        self._first: tuple[int, int] | None = None

    def settle(self) -> None:
        """Take the present state as the baseline."""
        self._first = _memory(), threading.active_count()

    def found(self) -> str | None:
        """Return what has been added since the baseline."""
        memory = _memory()
        problems = []
        if kept := [o for o in gc.get_objects() if isinstance(o, (Vm, Engine, Driver))]:
            problems.append(f"{len(kept)} objects of runs that are over, such as {kept[0]!r}")
        if children := _children():
            problems.append(f"processes {children}")
        if self._first:
            before, threads = self._first
            if memory - before > MAX_GROWTH:
                problems.append(f"memory grew by {memory - before >> 20} MiB")
            if threading.active_count() > threads + MAX_THREADS:
                problems.append(f"{threading.active_count()} threads, where there were {threads}")
        return "; ".join(problems) or None


def _told(error: BaseException | None) -> str:
    """Return an error with its stack trace."""
    if error is None:
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    places = " > ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames)
    return f"{error!r} ({places})"


def _memory() -> int:
    """Return the resident memory of the process in bytes, without freed memory where possible."""
    gc.collect()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # glibc keeps what was freed
        trim(0)
    pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _children() -> list[str]:
    """Return the child processes that are still there after a moment."""
    time.sleep(0.2)
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii").split()
