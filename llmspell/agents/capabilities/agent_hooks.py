from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from llmspell.agents.capabilities.capability import Capability
from llmspell.effects import Effect
from llmspell.hooks import Hook, parse_point
from llmspell.hooks.hook import Part
from llmspell.hooks.hook_call import HookFunction
from llmspell.hooks.lua_hook import LuaHook
from llmspell.limits import Seconds
from llmspell.values import LuaFunction, Value

if TYPE_CHECKING:
    from llmspell.agents.agent import Agent


class AgentHooks(Capability):
    """Functions of the spell as hooks on this agent's effects."""

    type = "hooks"

    def __init__(
        self,
        hooks: dict[str, Value],
        *,
        priority: int = 0,
        required: bool = False,
        timeout: Seconds = 30.0,
        name: str | None = None,
    ) -> None:
        """Create the capability.

        Args:
            hooks: Functions by hook point, such as `before:tool.call` or `post_agent_execution`.
            priority: Higher runs first.
            required: Whether a failing hook fails the effect.
            timeout: Seconds that each may take, or a duration such as "5m".
            name: Its name, if the agent has several.
        """
        for point, function in hooks.items():
            parse_point(point)
            if not isinstance(function, LuaFunction):
                raise ValueError(f"{point}: must be a function")  # noqa: TRY004 - an invalid setting
        self._functions: Mapping[str, LuaFunction] = hooks
        self._hook = _Functions(priority, timeout, required)
        self.name = name

    async def attach(self, agent: Agent, effect: Effect) -> None:  # noqa: ARG002 - an interface
        self._hook.functions = {p: LuaHook(f, effect.run) for p, f in self._functions.items()}

    def hooks(self) -> Iterable[Hook]:
        return [self._hook]

    def describe(self) -> dict[str, Value]:
        return {"points": sorted(self._functions)}


class _Functions(Hook):
    id = "functions"

    def __init__(self, priority: float, timeout: float, required: bool) -> None:
        self.priority, self.timeout, self.required = priority, timeout, required
        self.functions: dict[str, HookFunction] = {}

    def parts(self) -> Iterator[Part]:
        for point, function in sorted(self.functions.items()):
            yield Part(point, point, function)
