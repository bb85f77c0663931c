"""What tests came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Status = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Failure:
    """Why a test failed.

    Attributes:
        where: `file.lua:line`, if that is known.
        line: The text of that line.
        hint: What to do about it.
    """

    message: str
    where: str | None = None
    line: str = ""
    hint: str | None = None


@dataclass(frozen=True)
class LuaTestResult:
    """What one test came to; its name has those of the groups it is in: "panel > picks one"."""

    name: str
    status: Status
    seconds: float = 0.0
    failure: Failure | None = None


@dataclass
class LuaFileResult:
    """What a file of tests came to.

    Attributes:
        failure: Why it could not be run to its end, if so.
        written: How many snapshots were kept anew.
        stale: How many were dropped, since no test makes them any more.
    """

    path: Path
    tests: list[LuaTestResult] = field(default_factory=list)
    failure: Failure | None = None
    written: int = 0
    stale: int = 0

    def count(self, status: Status) -> int:
        """How many tests came to that; a file that failed counts as one."""
        broken = status == "failed" and self.failure is not None
        return sum(test.status == status for test in self.tests) + broken
