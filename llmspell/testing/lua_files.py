"""Finds and runs Lua test files, `*_test.lua`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from llmspell.bridge import Bridge
from llmspell.config import Project
from llmspell.errors import LlmspellError, SpellNotFound, SpellSyntaxError
from llmspell.lua.image import syntax_problem
from llmspell.providers.scripted import ScriptedProvider
from llmspell.runtime import Runtime
from llmspell.spell import Spell
from llmspell.spell_lookup import read_spell
from llmspell.state import MemoryStore
from llmspell.testing.lua_file_run import FileRun, Plan, Tell
from llmspell.testing.results import Failure, LuaFileResult
from llmspell.testing.spell_runs import MODEL
from llmspell.testing.test_doubles import ScriptedPerson

SUFFIX = "_test.lua"

_NOT_LOOKED_AT = {"node_modules", "build", "dist"}


def find_tests(places: Iterable[Path]) -> list[Path]:
    """Return the test files at these paths: the files themselves, and those in folders.

    Raises:
        SpellNotFound: A path does not exist.
    """
    files: dict[Path, None] = {}
    for place in places:
        if place.is_file():
            files[place] = None
        elif place.is_dir():
            files |= dict.fromkeys(sorted(_in_folder(place)))
        else:
            raise SpellNotFound(f"no file {place}", hint=f"looked in {Path.cwd()}")
    return list(files)


def _in_folder(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.name.startswith(".") or entry.name in _NOT_LOOKED_AT:
            continue
        if entry.is_dir():
            yield from _in_folder(entry)
        elif entry.name.endswith(SUFFIX):
            yield entry


async def run_tests(
    file: Path,
    project: Project,
    plan: Plan | None = None,
    *,
    tell: Tell = lambda _: None,
    output: Callable[[str | bytes], None] | None = None,
    **runtime: Any,
) -> LuaFileResult:
    """Run the tests of a file.

    Args:
        file: The file.
        project: The project whose spells are tested.
        plan: Which tests to run, and how.
        tell: Called with the result of each test as it ends.
        output: Called with what the file itself prints.
        **runtime: Further arguments for `Runtime`, such as grants.
    """
    plan = plan or Plan()
    tested = LuaFileResult(file)
    spell = None
    try:
        spell = read_spell(file, project)
        _check_syntax(spell, project)
        with FileRun(spell, file, project, plan, tell) as run:
            tested.tests = run.tests
            await _run(spell, run, output, runtime)
            tested.written = run.snapshots.written
            tested.stale = run.snapshots.save(whole=plan.whole and not run.stopped)
    except LlmspellError as error:
        line = spell.line_at(error.where) if spell else ""
        tested.failure = Failure(error.message, error.where, line, error.hint)
    return tested


async def list_tests(file: Path, project: Project) -> tuple[list[str], Failure | None]:
    """Return the names of a file's tests, and the failure if they cannot be determined."""
    listed = await run_tests(file, project, Plan(listing=True), output=lambda _: None)
    return [test.name for test in listed.tests], listed.failure


async def _run(spell: Spell, run: FileRun, output: Any, runtime: dict[str, Any]) -> None:
    source = b"return run_tests(function(...) " + spell.source + b"\nend, ...)"
    models = [ScriptedProvider([], name="*")]
    options: dict[str, Any] = {"model": MODEL, "providers": models}
    # Nobody resumes a test file, so its run is not recorded.
    always = {"record": False, "person": ScriptedPerson(())}
    async with Runtime(
        project=run.project,
        store=MemoryStore(),
        bridges=[_bridge("expect", run.snapshots), _bridge("test", run)],
        output=output,
        **options | runtime | always,
    ) as test_runtime:
        await test_runtime.run(replace(spell, source=source))


def _bridge(name: str, about: Any) -> Bridge:
    bridge: Bridge = import_module(f"llmspell.bridges.{name}").bridge_to(about)
    return bridge


def _check_syntax(spell: Spell, project: Project) -> None:
    """Raise SpellSyntaxError unless the file compiles on its own, without the wrapper."""
    memory = project.settings.limits.memory
    problem = syntax_problem(spell.source, spell.chunk_name, memory=memory)
    if problem is None:
        return
    place, _, what = problem.removeprefix(f"{spell.file}:").partition(": ")
    line = int(place) if place.isdecimal() else 1
    raise SpellSyntaxError(what or problem, file=spell.file, line=line)
