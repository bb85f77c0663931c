from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from llmspell.agents.capabilities.capability import Capability
from llmspell.agents.options import tool
from llmspell.effects import Effect
from llmspell.tools.tool import Tool
from llmspell.values import Value

if TYPE_CHECKING:
    from llmspell.agents.agent import Agent


class Toolset(Capability):
    """Additional tools for the agent's model."""

    type = "tools"

    def __init__(self, tools: list[Value], *, name: str | None = None) -> None:
        """Create the capability.

        Args:
            tools: Entries as in an agent's `tools`, or `Tool` objects.
            name: Its name, if the agent has several.
        """
        self._entries, self.name = tools, name
        self._tools: list[str | Tool] = []

    async def attach(self, agent: Agent, effect: Effect) -> None:  # noqa: ARG002 - an interface
        self._tools = [e if isinstance(e, Tool) else tool(effect.run, e) for e in self._entries]

    def tools(self) -> Iterable[str | Tool]:
        return self._tools
