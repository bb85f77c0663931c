from __future__ import annotations

import anyio
import pytest

from llmspell import Runtime, tool
from llmspell.bridge import Bridge
from llmspell.config import Project
from llmspell.effects import Effect
from llmspell.errors import ToolError
from llmspell.state import MemoryStore
from llmspell.values import Value

probe = Bridge("probe", __file__)
probe.lua = """
local host = ...
return { probe = function(name, args) return host.perform("probe." .. name, args or {}) end }
"""


@probe.effect()
async def echo(value: Value = None) -> Value:
    return value


@probe.effect()
def echo_now(value: Value = None) -> Value:
    return value


@probe.effect()
async def wait(seconds: float, value: Value = None) -> Value:
    await anyio.sleep(seconds)
    return value


@probe.effect()
async def fail(message: str, code: str = "tool_error") -> None:
    if code == "tool_error":
        raise ToolError(message, hint="try again", details={"n": 1})
    raise ValueError(message)


@probe.effect()
def unplain() -> Value:
    return object()


@probe.effect()
def place(effect: Effect) -> str:
    return effect.path


@probe.effect(leaf=False)
async def call(effect: Effect, function: Value, args: list[Value] | None = None) -> Value:
    return await effect.call(function, *(args or []))


@probe.effect(leaf=False)
async def call_twice(effect: Effect, function: Value) -> list[Value]:
    """Call the function twice, concurrently."""
    results: list[Value] = [None, None]

    async def one(index: int) -> None:
        results[index] = await pending[index]

    pending = [effect.call(function, 1), effect.call(function, 2)]
    async with anyio.create_task_group() as group:
        group.start_soon(one, 0)
        group.start_soon(one, 1)
    return results


@tool
async def add(a: int, b: int = 1) -> int:
    """Add two integers.

    Args:
        a: The first.
        b: The second.
    """
    return a + b


@pytest.fixture
def lines():
    """The lines that a test's spells have printed."""
    return []


@pytest.fixture(params=[False, True], ids=["in-process", "isolated"])
def isolate(request):
    """Whether spells run in a separate process: both ways must behave the same."""
    return request.param


@pytest.fixture
def new_runtime(tmp_path, lines, isolate):
    """Creates runtimes whose project is an empty folder."""

    def make(**options):
        options.setdefault("isolate", isolate)
        options.setdefault("store", MemoryStore())
        options.setdefault("tools", [add])
        options.setdefault("bridges", [probe])
        options.setdefault("project", Project(tmp_path))
        return Runtime(output=lines.append, **options)

    return make


@pytest.fixture
def lua(new_runtime):
    """Runs Lua and returns its result: `await lua("return 1", grants=…)`."""

    async def run(source, **options):
        async with new_runtime(**options) as runtime:
            return await runtime.execute(source, name="test.lua")

    return run
