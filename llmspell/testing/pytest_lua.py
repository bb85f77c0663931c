"""Collects Lua tests as pytest items."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmspell.config import find_project
from llmspell.testing import virtual_time
from llmspell.testing.lua_file_run import Plan
from llmspell.testing.lua_files import list_tests, run_tests
from llmspell.testing.results import Failure, LuaFileResult


class LuaFailed(Exception):
    """A Lua test failed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class LuaFile(pytest.File):
    """A Lua test file. It runs once, with all of its selected tests."""

    _result: LuaFileResult | None = None

    def collect(self) -> Iterator[pytest.Item]:
        names, failure = asyncio.run(list_tests(self.path, find_project(self.path.parent)))
        if failure:
            raise self.CollectError(_formatted(failure))
        for name in names:
            yield LuaTest.from_parent(self, name=name)

    def result(self, session: pytest.Session) -> LuaFileResult:
        if self._result is None:
            chosen = frozenset(item.name for item in session.items if item.parent is self)
            run = run_tests(self.path, find_project(self.path.parent), Plan(only=chosen))
            self._result = virtual_time.run(run)
        return self._result


class LuaTest(pytest.Item):
    """One test of a Lua test file."""

    def runtest(self) -> None:
        assert isinstance(self.parent, LuaFile)  # noqa: S101 - it created this item
        result = self.parent.result(self.session)
        for test in result.tests:
            if test.name == self.name and test.failure:
                raise LuaFailed(test.failure)
            if test.name == self.name and test.status == "skipped":
                pytest.skip()
        failed = [
            test.failure for test in result.tests if test.name.endswith(("before_all", "after_all"))
        ]
        for failure in (result.failure, *failed):
            if failure:
                raise LuaFailed(failure)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, LuaFailed):
            return _formatted(excinfo.value.failure)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.name


def _formatted(failure: Failure) -> str:
    lines: Iterable[str] = (
        f"{failure.where}: {failure.message}" if failure.where else failure.message,
        f"  | {failure.line}" if failure.line else "",
        f"hint: {failure.hint}" if failure.hint else "",
    )
    return "\n".join(filter(None, lines))
