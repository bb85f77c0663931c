from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from llmspell.agents.capabilities.capability import Capability
from llmspell.agents.capabilities.cell import Cell
from llmspell.effects import Effect
from llmspell.tools.tool import FunctionTool, Tool
from llmspell.values import Value, legible

if TYPE_CHECKING:
    from llmspell.agents.agent import Agent


class Variables(Capability):
    """Named values of the agent's own, which it sees in each request and may set."""

    type = "state"

    def __init__(
        self, scope: str = "agents", *, settable: bool = True, name: str | None = None
    ) -> None:
        """Create the capability.

        Args:
            scope: Scope of the state that has the variables, under the agent's name.
            settable: Whether the model may set them, with the tool `set_variable`.
            name: Its name, if the agent has several.
        """
        self.scope, self.settable, self.name = scope, settable, name

    async def attach(self, agent: Agent, effect: Effect) -> None:  # noqa: ARG002 - an interface
        self._values = Cell(self.scope, agent.name, "a table of names", _are_variables)

    async def get(self, effect: Effect) -> dict[str, Value]:
        """Return all variables."""
        return dict(await self._values.get(effect) or {})

    async def set(self, effect: Effect, name: str, value: Value) -> None:
        """Set a variable; None removes it."""

        def changed(old: Value) -> Value:
            new = {**(old or {}), name: value}
            return {n: v for n, v in new.items() if v is not None}

        await self._values.change(effect, changed)

    async def instructions(self, agent: Agent, effect: Effect) -> str | None:  # noqa: ARG002
        values = await self.get(effect)
        if not values:
            return None
        shown = json.dumps(legible(values), ensure_ascii=False)
        return f"Your variables: {shown}"

    def tools(self) -> Iterable[Tool]:
        async def set_variable(effect: Effect, name: str, value: Any = None) -> str:
            """Set one of your variables.

            Args:
                effect: The call.
                name: Its name.
                value: Its new value; without one it is removed.
            """
            await self.set(effect, name, value)
            return "set"

        return [FunctionTool(set_variable, category="agent", pure=True)] if self.settable else []

    def describe(self) -> dict[str, Value]:
        return {"scope": self.scope, "settable": self.settable}


def _are_variables(value: Value) -> bool:
    return value == [] or (isinstance(value, dict) and all(isinstance(name, str) for name in value))
