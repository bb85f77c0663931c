"""Tests crash recovery: kills runs of a spell at every leaf, resumes them, and compares results."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import tempfile
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmspell.concurrency import Answer, settled
from llmspell.config import Project, find_project
from llmspell.effects import Effect, Handler, Perform, Run
from llmspell.errors import LlmspellError
from llmspell.journal.reader import Reader
from llmspell.spell import Spell
from llmspell.spell_lookup import find_spell
from llmspell.state import SqliteStore
from llmspell.testing.spell_runs import stage
from llmspell.values import Value


class _ProjectWithJournal(Project):
    """A project with another journal file."""

    journal: Path = Path()

    @property
    def journal_file(self) -> Path:
        return self.journal


@dataclass(frozen=True)
class _Scenario:
    """The spell and its options, and a folder for the files of one killed and resumed run."""

    folder: Path
    spell: Spell
    params: Mapping[str, Value]
    options: Mapping[str, Any]

    @property
    def log(self) -> Path:
        return self.folder / "performed"

    def printed(self, *, again: bool = False) -> Path:
        """Return the file of the printed lines, each as a Python literal."""
        return self.folder / ("printed again" if again else "printed")

    @property
    def performed(self) -> list[str]:
        """Path and name of each leaf that was really performed, in order."""
        return _lines_of(self.log)

    def count(self, name: str) -> int:
        """Return how many leaves of that name have been performed."""
        return sum(done.endswith(f" {name}") for done in self.performed)

    @property
    def recorded(self) -> list[str]:
        """Path and name of each recorded leaf, in the order in which they ended."""
        with Reader.open(self.folder / "runs.db") as reader:
            effects = reader.effects(reader.run("last"))
            return [f"{effect.path} {effect.name}" for effect in effects]


def _lines_of(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def crash_matrix(
    spell: str | Path | Spell, *, params: Mapping[str, Value] | None = None, **options: Any
) -> int:
    """Kill a run after each of its leaves, resume it, and compare it with an uninterrupted run.

    Each run is a process, which kills itself with SIGKILL. Call this outside of an event loop. A
    script that is a list continues where it stopped, as does standard input; a script that is a
    function must depend only on the request.

    Args:
        spell: A file, a name, or a spell.
        params: Its parameters.
        **options: As for `llmspell.testing.stage`.

    Returns:
        How many runs were killed.

    Raises:
        AssertionError: A resumed run returned another result, printed other lines, or performed a
            recorded leaf again.
    """
    project = options.pop("project", None) or find_project()
    if not isinstance(spell, Spell):
        spell = find_spell(str(spell), project)
    options["project"] = project
    with tempfile.TemporaryDirectory(prefix="llmspell-crashes-") as folder:

        def scenario(name: str) -> _Scenario:
            place = Path(folder) / name
            place.mkdir()
            return _Scenario(place, spell, params or {}, options)

        whole = scenario("whole")
        expected = _run_uninterrupted(whole)
        leaves = len(whole.recorded)
        for kill in range(1, leaves + 1):
            _check(scenario(str(kill)), kill, expected)
    return leaves


def _run_uninterrupted(scenario: _Scenario) -> Value:
    """Return the result of an uninterrupted run.

    It runs in this process, so that the others, which are forked from it, find everything imported
    and compiled.
    """
    try:
        return asyncio.run(_run(scenario, 0, resume=False))
    except LlmspellError as error:
        raise AssertionError(f"without a crash, it fails: {error}") from error


def _check(scenario: _Scenario, kill: int, expected: Value) -> None:
    _run_in_child(scenario, kill=kill)
    before, printed = scenario.recorded, _lines_of(scenario.printed())
    resumed = _run_in_child(scenario, resume=True)
    assert resumed == expected, (  # noqa: S101 - it is an assertion
        f"killed after leaf {kill}, the run ended with {resumed!r}, not {expected!r}"
    )
    again = _lines_of(scenario.printed(again=True))[: len(printed)]
    assert again == printed, (  # noqa: S101
        f"killed after leaf {kill}, the run printed {', '.join(again)}, not {', '.join(printed)}"
    )
    times = Counter(scenario.performed)
    twice = [done for done in before if times[done] > 1]
    assert not twice, f"killed after leaf {kill}, the run repeated: {', '.join(twice)}"  # noqa: S101
    after = scenario.recorded
    assert after[: len(before)] == before, f"killed after leaf {kill}, its record differs"  # noqa: S101
    assert len(set(after)) == len(after), f"killed after leaf {kill}, it was recorded twice"  # noqa: S101


def _run_in_child(scenario: _Scenario, *, kill: int = 0, resume: bool = False) -> Value:
    """Return the result of a run in a child process; None if it was killed, as intended."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _child_main(scenario, writing, kill, resume=resume)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        output = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and kill:
        return None
    ended = {"failed": f"the process ended with {status}"}
    outcome = pickle.loads(output) if output else ended  # noqa: S301 - our own process wrote it
    assert "failed" not in outcome, outcome["failed"]  # noqa: S101 - it is an assertion
    return outcome["result"]


def _child_main(scenario: _Scenario, writing: int, kill: int, *, resume: bool) -> None:
    outcome: dict[str, Any] = {"failed": "it did not end"}
    try:
        outcome = {"result": asyncio.run(_run(scenario, kill, resume=resume))}
    except BaseException:  # noqa: BLE001 - the parent process reports it
        outcome = {"failed": traceback.format_exc()}
    finally:
        with suppress(OSError), os.fdopen(writing, "wb") as pipe:
            pickle.dump(outcome, pipe)
        os._exit(0)


async def _run(scenario: _Scenario, kill: int, *, resume: bool) -> Value:
    options = dict(scenario.options)
    project = options.pop("project")
    script = options.pop("script", ())
    if isinstance(script, Sequence) and not isinstance(script, str):
        script = script[scenario.count("model.request") :]
    lines = list(options.pop("lines", ()))[scenario.count("console.read_line") :]
    store = SqliteStore(scenario.folder / "state.db")
    test_project = _ProjectWithJournal(
        project.root, project.settings, project.file, scenario.folder / "runs.db"
    )
    more = options.pop("middleware", ())

    def output(line: str | bytes) -> None:
        with scenario.printed(again=resume).open("a") as printed:
            printed.write(f"{line!r}\n")

    if resume:
        options.pop("state", None), options.pop("scopes", None)
    async with stage(
        project=test_project,
        script=script,
        lines=lines,
        store=store,
        record=True,
        middleware=[_Killing(kill), _Noting(scenario.log), *more],
        **options,
    ) as (runtime, _):
        try:
            if resume:
                return await runtime.resume("last", unfinished="again", output=output)
            return await runtime.run(scenario.spell, params=scenario.params, output=output)
        finally:
            await store.close()


class _Noting:
    """Innermost middleware: logs the leaves that are really performed."""

    name = "noting"
    after = "failing"

    def __init__(self, log: Path) -> None:
        self._log = log

    def wrap(self, handler: Handler, call: Perform, run: Run) -> Perform:  # noqa: ARG002
        def noted(effect: Effect) -> Answer[Value]:
            if handler.is_leaf(effect):
                with self._log.open("a") as log:
                    log.write(f"{effect.path} {effect.name}\n")
            return call(effect)

        return noted


class _Killing:
    """Middleware around the journal: kills the process once `after` leaves have been recorded."""

    name = "killing"
    before = "journal"

    def __init__(self, after: int) -> None:
        self._left = after

    def wrap(self, handler: Handler, call: Perform, run: Run) -> Perform:  # noqa: ARG002
        if not self._left:
            return call

        async def killing(effect: Effect) -> Value:
            try:
                return await settled(call(effect))
            finally:
                if handler.is_leaf(effect):
                    self._left -= 1
                    if self._left == 0:
                        os.kill(os.getpid(), signal.SIGKILL)

        return killing
