from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmspell.agents.agent import Agent


class Speakers(dict[str, "Agent"]):
    """Who speaks in each prompt in progress, by its path: the agent, or who it handed over to."""

    def around(self, path: str) -> int:
        """How many prompts a path is inside of."""
        found = 0
        while path and self:
            path = path[: max(path.rfind("/"), path.rfind("."), 0)]
            found += path in self
        return found
