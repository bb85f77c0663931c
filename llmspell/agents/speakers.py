from __future__ import annotations

from typing import TYPE_CHECKING

from llmspell.effect_paths import all_around

if TYPE_CHECKING:
    from llmspell.agents.agent import Agent


class Speakers(dict[str, "Agent"]):
    """Who speaks in each prompt in progress, by its path: the agent, or who it handed over to."""

    def around(self, path: str) -> int:
        """How many prompts a path is inside of."""
        return sum(around in self for around in all_around(path))
