"""Results of Lua tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Status = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Failure:
    """Why a test failed.

    Attributes:
        where: `file.lua:line`, if known.
        line: The text of that line.
        hint: What to do about it.
    """

    message: str
    where: str | None = None
    line: str = ""
    hint: str | None = None


@dataclass(frozen=True)
class LuaTestResult:
    """The result of one test; its name includes those of its groups: "panel > picks one"."""

    name: str
    status: Status
    seconds: float = 0.0
    failure: Failure | None = None


@dataclass
class LuaFileResult:
    """The results of a test file.

    Attributes:
        failure: Why the file could not be run to its end, if so.
        written: How many snapshots were added or replaced.
        stale: How many were deleted, since no test uses them any more.
    """

    path: Path
    tests: list[LuaTestResult] = field(default_factory=list)
    failure: Failure | None = None
    written: int = 0
    stale: int = 0

    def count(self, status: Status) -> int:
        """Return how many tests have that status; a file that failed counts as one."""
        broken = status == "failed" and self.failure is not None
        return sum(test.status == status for test in self.tests) + broken
