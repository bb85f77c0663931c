"""The state of a Lua test file while it runs."""

from __future__ import annotations

import asyncio
import re
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from llmspell.config import Project
from llmspell.effects import Effect
from llmspell.errors import InvalidArguments
from llmspell.permissions import Grants, Permissions
from llmspell.spell import Spell
from llmspell.testing.results import Failure, LuaTestResult
from llmspell.testing.snapshots import Snapshots

_PLACED = re.compile(r"([^\n]+?\.lua:\d+): (.*)", re.DOTALL)

Tell = Callable[[LuaTestResult], None]


@dataclass(frozen=True)
class Plan:
    """Which tests to run, and how.

    Attributes:
        filter: Text that a test's name must contain.
        only: Names of the tests to run; None for all.
        listing: Whether to list the tests, as skipped, without running them.
        update: Whether to replace snapshots that differ.
        patience: Seconds a test may take.
        fail_fast: Whether to stop after the first failure.
    """

    filter: str = ""
    only: frozenset[str] | None = None
    listing: bool = False
    update: bool = False
    patience: float = 60.0
    fail_fast: bool = False

    @property
    def whole(self) -> bool:
        """Whether all tests run."""
        return not (self.filter or self.only is not None or self.listing)


class FileRun:
    """The run of a test file, which the bridge `test` reports to. Use it as a context manager.

    Attributes:
        tests: The results so far.
    """

    def __init__(self, spell: Spell, file: Path, project: Project, plan: Plan, tell: Tell) -> None:
        self.spell, self.file, self.project = spell, file, project
        self.snapshots = Snapshots(file, update=plan.update)
        self.tests: list[LuaTestResult] = []
        self._plan, self._tell = plan, tell
        self._begun = 0.0
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    @property
    def stopped(self) -> bool:
        return self._plan.fail_fast and any(test.status == "failed" for test in self.tests)

    def wants(self, name: str) -> bool:
        plan = self._plan
        fits = plan.filter.lower() in name.lower() and (plan.only is None or name in plan.only)
        return fits and not (plan.listing or self.stopped)

    def begin(self, name: str, *, skip: bool) -> bool:
        """Begin a test; return whether to run it. A test that the filter excludes has no result."""
        if not (self.wants(name) or self._plan.listing):
            return False
        if skip or self._plan.listing:
            self._ended(LuaTestResult(name, "skipped"))
            return False
        self.snapshots.test = name
        self._begun = time.perf_counter()
        return True

    async def deadline(self) -> float:
        """Wait until a test has exceeded its time by the real clock; return that time in seconds."""
        loop = asyncio.get_running_loop()
        over = loop.create_future()
        seconds = self._plan.patience
        timer = threading.Timer(seconds, loop.call_soon_threadsafe, [over.cancel])
        timer.daemon = True
        timer.start()
        try:
            await asyncio.wait([over])
        finally:
            timer.cancel()
        return seconds

    def finish(self, name: str, error: dict[str, str] | None) -> None:
        seconds = time.perf_counter() - self._begun
        if error is None:
            self._ended(LuaTestResult(name, "passed", seconds))
            return
        message, where = error["message"], error.get("where")
        if where is None and (
            placed := _PLACED.match(message)
        ):  # Lua's own errors begin with the place
            where, message = placed.groups()
        failure = Failure(message, where, self.spell.line_at(where), error.get("hint"))
        self._ended(LuaTestResult(name, "failed", seconds, failure))

    def folder(self, effect: Effect, files: dict[str, str]) -> str:
        """Create a temporary folder with these files, and permit the tests to use it."""
        created = self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="llmspell-test-"))
        folder = Path(created).resolve()
        for name, text in files.items():
            file = (folder / name).resolve()
            if not file.is_relative_to(folder):
                raise InvalidArguments("Test.folder", [f"{name!r} is not in the folder"])
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
        effect.run[Permissions].grant(Grants(read=(str(folder),), write=(str(folder),)))
        return str(folder)

    def _ended(self, test: LuaTestResult) -> None:
        self.tests.append(test)
        self._tell(test)
