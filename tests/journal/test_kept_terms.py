"""The limits, the budget and the isolation that a run was given hold when it is resumed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmspell import Runtime, tool
from llmspell.config import Project, Settings
from llmspell.errors import ConfigError, LimitExceeded, RunSuspended
from llmspell.journal.reader import Reader
from llmspell.journal.transfer import export_run, import_runs
from llmspell.limits import Budget, Limits
from llmspell.providers.scripted import ScriptedProvider
from llmspell.spell import parse_spell

pytestmark = pytest.mark.anyio

SLEEPS = b"Task.sleep(0.3)\n"


@tool(idempotent=True)
def processes() -> int:
    """The number of processes that this one has started; an isolated spell needs some."""
    started = f"/proc/{os.getpid()}/task/{os.getpid()}/children"
    return len(Path(started).read_text().split())


@pytest.fixture
def runtime_with(tmp_path):
    """Creates runtimes with settings of the project and options of the host."""

    def make(settings=None, **options):
        project = Project(tmp_path, Settings(**(settings or {})))
        options = {"tools": [processes], "output": lambda _: None, "park": 0.1} | options
        return Runtime(project=project, **options)

    return make


@pytest.fixture
def slept(runtime_with):
    """The id of a run that slept and was ended, of a spell that goes on with this source."""

    async def run(source, *, settings=None, trusted=True, **options):
        spell = parse_spell(SLEEPS + source.encode(), name="s", file="s.lua", trusted=trusted)
        ids = []
        async with runtime_with(settings, **options) as runtime:
            with pytest.raises(RunSuspended):
                await runtime.run(spell, begun=ids.append)
        return ids[0]

    return run


@pytest.mark.parametrize(
    ("then", "settings", "now", "isolated"),
    [
        (True, {}, None, True),
        (True, {}, False, False),
        (True, {"isolate": False}, None, True),
        (False, {"isolate": True}, None, False),
        (False, {"isolate": True}, True, True),
        (None, {"isolate": True}, None, True),
        (None, {}, None, False),
    ],
)
async def test_isolation(slept, runtime_with, then, settings, now, isolated):
    id_ = await slept("return processes{} > 0", isolate=then)
    async with runtime_with(settings, isolate=now, park=None) as runtime:
        assert await runtime.resume(id_) is isolated


async def test_a_replay_is_isolated_too(slept, runtime_with):
    id_ = await slept("return 1", isolate=True)
    async with runtime_with(park=None) as runtime:
        assert await runtime.resume(id_) == 1
    async with runtime_with() as runtime:
        assert await runtime.replay(id_) == 1
        assert processes.function() > 0


async def test_so_are_the_spells_that_it_runs(slept, runtime_with):
    child = 'return Spell.run("return 1") + processes{}'
    id_ = await slept(child, isolate=False)
    async with runtime_with(park=None) as runtime:
        assert await runtime.resume(id_) == 1  # which would be isolated, being a stranger's


SEVEN = "for i = 1, 7 do State.get('a') end return 'done'"


async def test_lower_limits(slept, runtime_with):
    id_ = await slept(SEVEN, limits={"effects": 5})
    async with runtime_with(park=None) as runtime:
        with pytest.raises(LimitExceeded, match=r"too many effects \(5\)") as caught:
            await runtime.resume(id_)
    assert caught.value.hint.startswith("raise it with --limit effects=10, ")
    async with runtime_with(park=None, limits={"memory": "32MiB"}) as runtime:
        with pytest.raises(LimitExceeded, match=r"too many effects \(5\)"):
            await runtime.resume(id_)
    async with runtime_with(park=None, limits={"effects": 7}) as runtime:
        with pytest.raises(LimitExceeded, match=r"too many effects \(7\)"):
            await runtime.resume(id_)
    async with runtime_with(park=None, limits={"effects": Limits().effects}) as runtime:
        assert await runtime.resume(id_) == "done"


async def test_higher_limits(slept, runtime_with):
    few = {"limits": Limits(effects=5)}
    id_ = await slept(SEVEN, settings=few, limits={"effects": 100})
    async with runtime_with(few, park=None) as runtime:
        assert await runtime.resume(id_) == "done"


async def test_limits_of_the_settings_are_those_of_now(slept, runtime_with):
    id_ = await slept(SEVEN, settings={"limits": Limits(effects=5)})
    async with runtime_with(park=None) as runtime:
        assert await runtime.resume(id_) == "done"


async def test_a_budget_that_is_just_the_usual_one(slept, runtime_with):
    """It is given all the same, and replaces that of the run."""
    usual = {"budget": Budget(calls=9)}
    source = "local a = Agent.create{} a:prompt('x') return (a:prompt('y'))"
    id_ = await slept(source, settings=usual, budget={"calls": 1})
    model = {"providers": [ScriptedProvider(lambda _: "tea")], "model": "scripted/any"}
    async with runtime_with(usual, park=None, **model) as runtime:
        with pytest.raises(LimitExceeded):
            await runtime.resume(id_)
    async with runtime_with(usual, park=None, budget={"calls": 9}, **model) as runtime:
        assert await runtime.resume(id_) == "tea"


async def test_nothing_that_was_widened_elsewhere(slept, runtime_with, tmp_path):
    few = {"limits": Limits(effects=5)}
    id_ = await slept(SEVEN, settings=few, limits={"effects": 100, "memory": "4MiB"}, isolate=False)
    file, taken = tmp_path / ".llmspell" / "runs.db", tmp_path / "taken.run"
    with Reader.open(file) as reader:
        export_run(file, reader.run(id_), taken)
    file.unlink()
    import_runs(taken, file)
    async with runtime_with(few, park=None) as runtime:
        with pytest.raises(LimitExceeded, match=r"too many effects \(5\)"):
            await runtime.resume(id_)
        assert processes.function() > 0
    with Reader.open(file) as reader:
        assert reader.run(id_).setup["limits"]["memory"] == 4 << 20


@pytest.mark.parametrize("given", [{"effects": 0}, {"calls": 1}, {"effects": "many"}])
def test_what_is_no_limit(runtime_with, given):
    with pytest.raises(ConfigError, match=r"limits\."):
        runtime_with(limits=given)
