"""Attacks on the host, each with the outcome it must have, while an honest spell goes on beside it.

An outcome is the pattern of the value as Python shows it, of a catchable error, or of the limit
that ends the run.
"""

import json
import os
import re
import sys
import threading
from pathlib import Path

import anyio
import pytest

from llmspell import Limits, Runtime
from llmspell.bridge import Bridge
from llmspell.config import Project
from llmspell.errors import LimitExceeded, SpellError, ToolError
from llmspell.state import MemoryStore
from llmspell.values import Value

pytestmark = pytest.mark.anyio

ATTACKS = json.loads((Path(__file__).parents[1] / "lua" / "attacks.json").read_text("utf-8"))

# Callbacks of sort and gsub may perform effects, functions cross as references, and os.getenv is
# an effect that needs a grant: what these attack has become allowed.
NOW_ALLOWED = {
    "py-return-func2": ("value", "None"),
    "eff-sort": ("error|value", "invalid order|None"),
    "eff-gsub": ("value", "'ab'"),
    "lib-os": ("value", "^'os.getenv'$"),
}

LIMITS = Limits(
    memory=16 << 20,
    instructions=10_000_000,
    time=2,
    effects=10_000,
    message=1 << 20,
    output=1 << 20,
)

host = Bridge("host", __file__)
host.lua = """
local host = ...
return { host = { call = function(name, ...)
  if type(name) ~= "string" then error("the effect's name must be a string", 2) end
  return host.perform("host." .. name, { args = { ... } })
end } }
"""


@host.effect()
async def echo(args: list[Value] | None = None) -> Value:
    return args[0] if args else None


@host.effect()
async def nop(args: Value = None) -> None: ...


@host.effect()
async def add(args: list[Value]) -> Value:
    return args[0] + args[1]


@host.effect()
async def fail(args: list[str]) -> None:
    raise ToolError(args[0], details={"kind": "bad"})


@host.effect()
async def boom(args: Value = None) -> None:
    raise ValueError("boom")


@host.effect()
async def bigint(args: Value = None) -> int:
    return 1 << 200


@host.effect()
async def big(args: Value = None) -> str:
    return "x" * 500_000


HONEST = """
local sum = 0
for i = 1, 40 do
  Task.sleep(0.001)
  sum = sum + host.call("add", i, 0)
end
return sum
"""


async def _outcome(runtime, code):
    try:
        value = await runtime.execute(code, name="attack.lua")
    except LimitExceeded as error:
        return "killed", f"{error.limit} {error.message}"
    except SpellError as error:
        return "error", error.message
    return "value", repr(value)


def _code(attack):
    return attack["code"].replace("e.kind", "e.details.kind")


def _runtime(folder, isolate):
    options = {"project": Project(folder), "store": MemoryStore(), "bridges": [host]}
    return Runtime(**options, limits=LIMITS, isolate=isolate, output=lambda _: None)


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack["id"] for attack in ATTACKS])
async def test_attack(attack, tmp_path, isolate):
    expected, pattern = NOW_ALLOWED.get(attack["id"], attack["expect"])
    results = {}
    async with _runtime(tmp_path, isolate) as runtime:

        async def honest():
            results["honest"] = await runtime.execute(HONEST)

        async def hostile():
            await anyio.sleep(0.005)
            results["hostile"] = await _outcome(runtime, _code(attack))

        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(honest)
                group.start_soon(hostile)
    assert results["honest"] == sum(range(41))
    outcome, text = results["hostile"]
    assert outcome in expected.split("|"), text
    assert re.search(pattern, text), text


def _belongings():
    """What this process has: threads, descriptors and children."""
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(1)  # those of the event loop's pool are told to end, and do a moment later
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return set(threading.enumerate()), len(list(Path("/proc/self/fd").iterdir())), children


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nothing_is_left_of_an_attack(tmp_path, isolate):
    async def attack(codes):
        async with _runtime(tmp_path, isolate) as runtime:
            for code in codes:
                await _outcome(runtime, code)

    codes = [_code(a) for a in ATTACKS if "value" not in a["expect"][0]]
    anyio.run(attack, codes[:1])
    before = _belongings()
    anyio.run(attack, codes[::3])
    assert _belongings() == before


async def test_a_kill_is_not_disturbed_by_the_hook_that_comes_with_it(tmp_path):
    """Where the count hook fires while the kill is recorded depends on the memory there is."""
    code = "local t = {} for i = 1, 1e9 do t[i] = function() return i end end"
    for memory in range(4 << 20, (4 << 20) + 100 * 509, 509):
        options = {"project": Project(tmp_path), "store": MemoryStore()}
        async with Runtime(**options, limits=Limits(memory=memory)) as runtime:
            assert (await _outcome(runtime, code))[0] == "killed"
