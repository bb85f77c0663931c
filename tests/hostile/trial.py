"""Runs hostile programs in a runtime, and checks everything that must hold whatever they do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import fields, replace
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, Self

import anyio
from anyio.lowlevel import checkpoint
from programs import BREACH, Program
from side_effects import Watch

from llmspell import Budget, Limits, Runtime
from llmspell.cli.error_report import describe
from llmspell.config import Project
from llmspell.errors import LimitExceeded, LlmspellError
from llmspell.providers.messages import ToolCall
from llmspell.providers.scripted import ScriptedProvider
from llmspell.spell import parse_spell
from llmspell.state import MemoryStore
from llmspell.values import LuaFunction

FILE = "hostile.lua"
PATIENCE = 1.5  # seconds after which a waiting program is cancelled
MAX_WORK = 8  # seconds of CPU time: a slice at its time limit, and what it may exceed that by
PROGRAMS = {1: 1, 2: 25}  # programs per runtime, by ring: starting a process is slow
ATOMS = (type(None), bool, int, float, str, bytes, LuaFunction)
LIMIT_NAMES = {field.name for field in fields(Limits)} | {"tokens"}

HONEST = """
local words = {}
for i = 1, 12 do
  Task.sleep(0.001)
  words[i] = ("%d:%s"):format(i, JSON.encode({i, {n = i * i}}))
end
table.sort(words, function(a, b) return #a < #b or #a == #b and a < b end)
local sums = Task.map({1, 2, 3}, function(n) Task.sleep(0) return n + #words end)
return #table.concat(words, " ") .. " " .. table.concat(sums, " ")
"""
HONEST_RESULT = "185 13 14 15"


class Verdict(NamedTuple):
    """How a program ended, and what went wrong, if anything."""

    outcome: str
    problem: str | None
    seconds: float


class Trials:
    """Runs programs one after another in an empty folder, each alongside an honest spell."""

    def __init__(self, folder: Path, *, ring: int = 1) -> None:
        self._folder = folder
        self._ring = ring
        self._watch = Watch(folder)
        self._replies: tuple[Any, ...] = ()
        self._tried = 0
        self._runtime: Runtime | None = None
        self._exit = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exit.aclose()

    async def warm_up(self) -> None:
        """Make the host load the embedding model, which it does only once."""
        runtime = await self._open()
        await runtime.execute("pcall(Model.embed, 'a')")
        await self._close()

    async def run(self, program: Program) -> Verdict:
        """Run a program, and return the verdict."""
        self._replies = program.replies
        lines: list[str | bytes] = []
        results: dict[str, Any] = {}
        begin = time.process_time()
        with self._watch as watch:
            runtime = self._runtime or await self._open()
            async with anyio.create_task_group() as group:
                group.start_soon(_be_honest, runtime, results)
                await _be_hostile(runtime, program, lines, results)
            self._tried += 1
            if self._tried % PROGRAMS[self._ring] == 0:
                await self._close()
            problems = [*watch.noticed, *_judge(results, lines)]
        printed = sum(len(line) + 1 for line in lines)
        if printed - 1 > program.limits["output"]:  # the last line may have had no end
            problems.append(f"it printed {printed} bytes")
        seconds = time.process_time() - begin
        if seconds > MAX_WORK:
            problems.append(f"it took {seconds:.1f} s of processor time")
        if self._runtime is None and (left := asyncio.all_tasks() - {asyncio.current_task()}):
            problems.append(f"tasks left: {left!r:.300}")
        files = self._folder.rglob("*")
        if written := [path for path in files if not self._watch.is_of_journal(path)]:
            problems.append(f"files were written: {written}")
        return Verdict(results["outcome"], "; ".join(problems) or None, seconds)

    async def _open(self) -> Runtime:
        self._runtime = await self._exit.enter_async_context(
            Runtime(
                project=Project(self._folder),
                model="scripted/x",
                store=MemoryStore(),
                providers=[ScriptedProvider(self._reply)],
                isolate=self._ring == 2,
                budget=Budget(tokens=20_000),  # the embedding model runs in this process
            )
        )
        self._answers = count()
        return self._runtime

    async def _close(self) -> None:
        await self._exit.aclose()
        self._runtime = None
        await checkpoint()

    def _reply(self, _: Any) -> Any:
        """Return the next reply of the program's model; after the last one, the first again."""
        reply = self._replies[next(self._answers) % len(self._replies)]
        return reply if isinstance(reply, str) else ToolCall("", *reply)


async def _be_honest(runtime: Runtime, results: dict[str, Any]) -> None:
    try:
        spell = parse_spell(HONEST.encode(), name="honest.lua", file="honest.lua")
        results["honest"] = await runtime.run(spell)
    except Exception as error:  # noqa: BLE001 - `_judge` reports it
        results["honest"] = error


async def _be_hostile(
    runtime: Runtime, program: Program, lines: list[str | bytes], results: dict[str, Any]
) -> None:
    spell = parse_spell(program.source.encode(), name=FILE, file=FILE)
    spell = replace(spell, limits=program.limits)
    with anyio.move_on_after(PATIENCE):
        try:
            results["value"] = await runtime.run(spell, output=lines.append)
            results["outcome"] = "value"
        except LimitExceeded as error:
            results["error"], results["outcome"] = error, f"limit {error.limit}"
        except Exception as error:  # noqa: BLE001 - `_judge` decides which are failures
            results["error"], results["outcome"] = error, type(error).__name__
    results.setdefault("outcome", "cancelled")


def _judge(results: dict[str, Any], lines: list[str | bytes]) -> Iterator[str]:
    """Yield what is wrong with the outcomes of the hostile and the honest spell."""
    if results["honest"] != HONEST_RESULT:
        yield f"the honest spell came to {results['honest']!r}"
    if strange := _strange(results.get("value")):
        yield f"the result holds a {strange}"
    yield from (str(line) for line in lines if BREACH in str(line))
    error = results.get("error")
    if error is None:
        return
    if not isinstance(error, LlmspellError):
        yield f"a {type(error).__name__} came out: {error}"
    elif isinstance(error, LimitExceeded) and error.limit not in LIMIT_NAMES:
        yield f"it says: {describe(error)}"
    else:
        describe(error).encode()  # fails if the error cannot be displayed


def _strange(value: Any) -> str | None:
    """Return the type of the first part of a value that is not plain, if there is one."""
    if isinstance(value, dict):
        keys = [key for key in value if type(key) not in (str, int, float, bytes)]
        parts = [*value.values(), *keys]
    elif type(value) is list:
        parts = value
    else:
        return None if type(value) in ATOMS else type(value).__qualname__
    return next(filter(None, map(_strange, parts)), None)
