"""Whether memory stays as it is over 20,000 calls of one runtime."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from tempfile import TemporaryDirectory

CALLS = 20_000
PART = 2_000
AGENTS = 64

SPELL = """
local numbers = {}
for n = 1, %d do numbers[n] = n end
Task.map(numbers, function()
  local agent = Agent.create{}
  for _ = 1, %d do
    agent:prompt("Hello")
    agent:reset()
  end
end)
"""


def resident() -> float:
    """MB of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


async def measure(url: str) -> list[float]:
    from llmspell import Runtime
    from llmspell.config import Project, Settings
    from llmspell.providers.settings import ProviderSettings

    found = []
    with TemporaryDirectory() as folder:
        settings = Settings(providers={"mock": ProviderSettings(base_url=url)})
        project = Project(Path(folder), settings)
        async with Runtime(project=project, model="mock/plain") as runtime:
            for _ in range(CALLS // PART):
                await runtime.execute(SPELL % (AGENTS, PART // AGENTS))
                gc.collect()
                found.append(resident())
    return found


def main(url: str) -> None:
    found = asyncio.run(measure(url))
    print(f"\nmemory over {CALLS:,} calls, recorded")
    print(f"  after {PART:,}: {found[0]:.1f} MB, after {CALLS:,}: {found[-1]:.1f} MB")
    print(f"  growth in the second half: {found[-1] - found[len(found) // 2]:+.1f} MB")
