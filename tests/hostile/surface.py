"""Reads what a spell can reach from a runtime, so that new functions are attacked too."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from llmspell import Runtime
from llmspell.config import Project
from llmspell.state import MemoryStore

LISTING = """
local tables, functions, tools = {}, {}, {}
for name, value in pairs(_G) do
  if type(value) == "function" then
    functions[#functions + 1] = name
  elseif type(value) == "table" then
    tables[#tables + 1] = name
    for key, item in pairs(value) do
      if value ~= _G and type(item) == "function" then
        functions[#functions + 1] = name .. "." .. key
      end
    end
  end
end
for _, tool in ipairs(Tool.list()) do
  local parameters = {}
  for name in pairs(Tool.schema(tool.name).properties or {}) do
    parameters[#parameters + 1] = name
  end
  tools[tool.name] = parameters
end
return {tables, functions, tools}
"""


class Surface(NamedTuple):
    """Names of global tables, functions ("State.get"), and tools with their parameters."""

    tables: list[str]
    functions: list[str]
    tools: dict[str, list[str]]


def read() -> Surface:
    """Read the surface in a stable order, since that determines the program of a number."""
    tables, functions, tools = asyncio.run(_listing())
    return Surface(
        sorted(tables),
        sorted(name for name in functions if name not in tools),
        {name: sorted(tools[name]) for name in sorted(tools)},
    )


async def _listing() -> tuple[list[str], list[str], dict[str, list[str]]]:
    with TemporaryDirectory() as folder:
        runtime = Runtime(project=Project(Path(folder)), store=MemoryStore(), model="openai/x")
        async with runtime:
            return await runtime.execute(LISTING)
