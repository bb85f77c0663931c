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
    """A capability of an agent. Override what you need; the defaults do nothing.

        class Clock(Capability):
            \"\"\"Knows what day it is.\"\"\"

            type = "clock"

            async def instructions(self, agent, effect):
                return f"Today is {await effect.perform('clock.date', format='%A')}."

        Runtime(capabilities=[Clock])

    Use effects for anything that touches the outside world, so that a run can be replayed. The
    constructor's named parameters are the capability's settings, checked by their type hints.

    Attributes:
        type: Its kind; spells ask for it by type, and agents can be searched by it.
        name: Identifies it among an agent's capabilities; defaults to the type. A new capability
            replaces an old one of the same name.
        timeout: Seconds that each of its methods may take.
        required: Whether a failure of `instructions` fails the request; otherwise it is reported
            and ignored.
    """

    type: str
    name: str | None = None
    timeout: float = 30.0
    required: bool = False

    async def attach(self, agent: Agent, effect: Effect) -> None:
        """Acquire resources. `effect` can perform others. An exception prevents attaching it."""

    async def detach(self, agent: Agent, effect: Effect) -> None:
        """Release resources, when the capability is removed or the run ends."""

    def tools(self) -> Iterable[str | Tool]:
        """Return additional tools for the agent's model. Called once, after `attach`."""
        return ()

    def hooks(self) -> Iterable[Hook]:
        """Return hooks that see only this agent's effects. Called once, after `attach`."""
        return ()

    async def instructions(self, agent: Agent, effect: Effect) -> str | None:
        """Return instructions to add to the agent's own. Called before each request."""

    def describe(self) -> dict[str, Value]:
        """Return what to show of it besides its name and type, without secrets."""
        return {}
