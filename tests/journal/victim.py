"""A process that runs a spell or resumes a run, and that tests may kill at any moment.

`victim.py FOLDER SPELL RUN`: RUN is "new" or an id. It prints the run's id.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from llmspell import Runtime, tool
from llmspell.config import Project

FOLDER, SPELL, RUN = Path(sys.argv[1]), sys.argv[2], sys.argv[3]


def note(line: str) -> None:
    """Log to a file that something was done outside the run."""
    descriptor = os.open(FOLDER / "done.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


@tool(idempotent=True)
async def work(name: str, seconds: float = 0) -> str:
    """Do something that can be detected afterwards."""
    if seconds:
        await asyncio.sleep(seconds)
    note(name)
    return f"did {name}"


@tool(idempotent=True)
def slow_work(name: str) -> str:
    """The same, in a thread."""
    note(name)
    return f"did {name}"


async def main() -> None:
    async with Runtime(project=Project(FOLDER), tools=[work, slow_work]) as runtime:
        begun = lambda id_: print(id_, flush=True)  # noqa: E731
        if RUN == "new":
            await runtime.run(SPELL, begun=begun)
        else:
            await runtime.resume(RUN, begun=begun)


asyncio.run(main())
