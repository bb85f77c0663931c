from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from llmspell.hooks import Hook
from llmspell.values import Value

if TYPE_CHECKING:
    from llmspell.agents.agent import Agent
    from llmspell.effects import Effect
    from llmspell.tools.tool import Tool


class Capability:
    """Something that an agent can be given. Override what you need; the rest does nothing.

        class Clock(Capability):
            \"\"\"Knows what day it is.\"\"\"

            type = "clock"

            async def instructions(self, agent, effect):
                return f"Today is {await effect.perform('clock.date', format='%A')}."

        Runtime(capabilities=[Clock])

    Whatever it does to the world it does by effects, so that a run can be replayed. What its
    constructor takes by name are its settings, checked by their type hints.

    Attributes:
        type: What kind of thing it is; by this, spells ask for it and agents are found.
        name: Which of an agent's; by default its type, so an agent has one of that. A new one of a
            name takes the place of the old one.
        timeout: Seconds that each of its methods may take.
        required: The failure of `instructions` fails the request; otherwise it is reported and
            passed over.
    """

    type: str
    name: str | None = None
    timeout: float = 30.0
    required: bool = False

    async def attach(self, agent: Agent, effect: Effect) -> None:
        """Open what it works with. `effect` performs others. What it raises keeps it out."""

    async def detach(self, agent: Agent, effect: Effect) -> None:
        """Close that again: when it is taken away, or at the end of the run."""

    def tools(self) -> Iterable[str | Tool]:
        """More that the agent's model may call. It is asked for once, after `attach`."""
        return ()

    def hooks(self) -> Iterable[Hook]:
        """Hooks on what this agent does, and on nothing else. It is asked for once, after `attach`."""
        return ()

    async def instructions(self, agent: Agent, effect: Effect) -> str | None:
        """What a request says besides the agent's own instructions; asked for before each."""

    def describe(self) -> dict[str, Value]:
        """What to show of it besides its name and type; no secrets."""
        return {}
