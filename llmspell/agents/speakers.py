from __future__ import annotations

from typing import TYPE_CHECKING

from llmspell.effect_paths import all_around

if TYPE_CHECKING:
    from llmspell.agents.agent import Agent


class Speakers(dict[str, "Agent"]):
    """The agent that speaks in each prompt in progress, by the prompt's path.

    That is the agent prompted, or the one it handed the conversation over to.
    """

    def depth(self, path: str) -> int:
        """Return how many prompts the path is nested in."""
        return sum(around in self for around in all_around(path))
