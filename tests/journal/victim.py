"""A process that runs a spell, or resumes a run, and may be killed at any effect: for the tests.

`victim.py FOLDER SPELL RUN KILL`: RUN is "new" or an id, KILL the number of the effect after which
the process kills itself, or 0. It prints the run's id, then its result as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from llmspell import Runtime, tool
from llmspell.config import Project
from llmspell.providers.messages import ToolCall
from llmspell.providers.scripted import ScriptedProvider

FOLDER, SPELL, RUN, KILL = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])


def note(line: str) -> None:
    """Say in a file that something was done outside."""
    descriptor = os.open(FOLDER / "done.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


@tool(idempotent=True)
async def work(name: str, seconds: float = 0) -> str:
    """Do something that can be told afterwards."""
    if seconds:
        await asyncio.sleep(seconds)
    note(name)
    return f"did {name}"


@tool(idempotent=True)
def slow_work(name: str) -> str:
    """The same, in a thread."""
    note(name)
    return f"did {name}"


@tool(idempotent=True)
async def fails(name: str) -> None:
    """Fail, having done something."""
    note(name)
    raise ValueError(f"{name} fails")


class Killer:
    """An observer that ends the process after so many leaves."""

    def __init__(self, after: int) -> None:
        self._left = after

    def started(self, effect):
        pass

    def finished(self, effect, seconds, error):
        if effect.name in COMPOSITES or (effect.name, effect.args.get("name")) in LUA_TOOLS:
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


COMPOSITES = {
    "agent.create",
    "agent.run",
    "tool.define",
    "hook.register",
    "state.update",
    "spell.run",
}
LUA_TOOLS = {("tool.call", "double")}


def says(request):
    """A model that calls a tool once, and then says what it was told."""
    last = request.messages[-1]
    if last.role == "tool":
        note(f"model {last.content[0].content[0].text}")
        return f"so: {last.content[0].content[0].text}"
    note(f"model {last.text}")
    return ToolCall("1", "double" if "double" in last.text else "work", {"name": last.text})


async def main() -> None:
    async with Runtime(
        project=Project(FOLDER),
        tools=[work, slow_work, fails],
        providers=[ScriptedProvider(says)],
        model="scripted/any",
        observers=[Killer(KILL)],
        output=lambda line: print("|", line, flush=True),
    ) as runtime:
        begun = lambda id_: print(id_, flush=True)  # noqa: E731
        if RUN == "new":
            result = await runtime.run(SPELL, begun=begun)
        else:
            result = await runtime.resume(RUN, begun=begun)
    print(json.dumps(result, sort_keys=True), flush=True)


asyncio.run(main())
