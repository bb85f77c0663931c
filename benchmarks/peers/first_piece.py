"""How long a piece of a streamed answer takes from the server's write to the spell."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

ANSWERS = 20
SPELL = f"""
for _ = 1, {ANSWERS} do
  local agent, n = Agent.create{{}}, 0
  for piece in agent:stream("Hello") do
    n = n + 1
    arrived{{piece = piece, first = n == 1}}
  end
end
"""


async def measure(url: str) -> tuple[list[float], list[float]]:
    from llmspell import Runtime, tool
    from llmspell.config import Project, Settings
    from llmspell.providers.settings import ProviderSettings

    firsts: list[float] = []
    others: list[float] = []

    @tool
    async def arrived(piece: str, first: bool) -> None:
        """Note how old a piece is.

        Args:
            piece: The time when the server wrote it.
            first: Whether it is the first of an answer.
        """
        (firsts if first else others).append((time.monotonic() - float(piece)) * 1e3)

    with TemporaryDirectory() as folder:
        settings = Settings(providers={"mock": ProviderSettings(base_url=url)})
        project = Project(Path(folder), settings)
        async with Runtime(project=project, model="mock/trickle", tools=[arrived]) as runtime:
            await runtime.execute(SPELL)
    return firsts, others


def main(url: str) -> None:
    firsts, others = asyncio.run(measure(url))
    print("\nfrom the server's write to Lua, of answers that trickle, recorded")
    for what, taken in (("first piece", firsts), ("other pieces", others)):
        ranked = sorted(taken)
        print(
            f"  {what:13} median {median(ranked):5.2f} ms, "
            f"95 % within {ranked[int(len(ranked) * 0.95)]:5.2f} ms, most {ranked[-1]:5.2f} ms"
        )
