"""A host program that an error of a spell ends."""

import gc
import subprocess
import sys

import pytest
from lupa.lua55 import LuaRuntime

from llmspell.errors import SpellRuntimeError

HOST = """
import asyncio, sys
from llmspell import Limits, Runtime

async def main():
    async with Runtime(record=False, limits=Limits(instructions=1_000_000)) as runtime:
        await runtime.execute(sys.argv[1])

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("spell", "said"),
    [
        ("error('no')", "SpellRuntimeError: no"),
        ("Task.sleep(0) error('no')", "SpellRuntimeError: no"),
        ("Task.sleep('soon')", "SpellRuntimeError: Task.sleep: "),
        ("Task.all{function() error('no') end, function() Task.sleep(9) end}", "Error: no"),
        ("while true do end", "LimitExceeded: instruction limit exceeded"),
    ],
)
def test_it_ends_as_python_programs_do(tmp_path, spell, said):
    command = [sys.executable, "-c", HOST, spell]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert said in ended.stderr
    assert ended.returncode == 1


@pytest.mark.anyio
async def test_an_error_that_is_kept_keeps_no_lua(new_runtime):
    gc.collect()
    before = sum(isinstance(one, LuaRuntime) for one in gc.get_objects())
    async with new_runtime() as runtime:
        with pytest.raises(SpellRuntimeError) as caught:
            await runtime.execute("error('no')")
        assert sum(isinstance(one, LuaRuntime) for one in gc.get_objects()) <= before
    assert caught.value.message == "no"
