"""Recorded effects per second, compared with the steps that DBOS records on SQLite."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory

EFFECTS = 2_000
AT_LEAST = 10  # lower bound, as a multiple of DBOS

DBOS = """
import asyncio, json, sys, time
from dbos import DBOS
DBOS(config={"name": "bench", "system_database_url": f"sqlite:///{sys.argv[1]}/dbos.sqlite",
             "log_level": "ERROR"})

@DBOS.step()
async def step(n: int) -> int:
    return n + 1

@DBOS.workflow()
async def workflow(calls: int) -> int:
    n = 0
    for _ in range(calls):
        n = await step(n)
    return n

async def main() -> None:
    DBOS.launch()
    await workflow(20)
    begin = time.perf_counter()
    await workflow(int(sys.argv[2]))
    print(json.dumps(time.perf_counter() - begin))
    DBOS.destroy()

asyncio.run(main())
"""
SPELL = "local n = 0 for _ = 1, %d do n = step{n = n} end return n"


async def ours(calls: int) -> float:
    from llmspell import Runtime, tool
    from llmspell.config import Project

    @tool(idempotent=True)  # like a step of DBOS: without a record it is performed again
    async def step(n: int) -> int:
        """Add one.

        Args:
            n: To what.
        """
        return n + 1

    with TemporaryDirectory() as folder:
        async with Runtime(project=Project(Path(folder)), tools=[step], record=True) as runtime:
            await runtime.execute(SPELL % 20)
            begin = time.perf_counter()
            assert await runtime.execute(SPELL % calls) == calls
            return time.perf_counter() - begin


def theirs(python: str, calls: int) -> float:
    with TemporaryDirectory() as folder:
        command = [python, "-c", DBOS, folder, str(calls)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def main(python: str) -> None:
    mine, dbos = EFFECTS / asyncio.run(ours(EFFECTS)), EFFECTS / 10 / theirs(python, EFFECTS // 10)
    print("\nrecorded a second, one after another, on SQLite")
    print(f"  tools of a spell     {mine:8,.0f}")
    print(f"  steps of DBOS        {dbos:8,.0f}")
    print(f"  {mine / dbos:.1f} times as many; at least {AT_LEAST} are wanted")
