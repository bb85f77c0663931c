"""Hooks that only see the effects of certain agents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from llmspell.agents.capabilities.capability import Capability
from llmspell.agents.speakers import Speakers
from llmspell.effects import Effect
from llmspell.hooks import Hook, HookCall
from llmspell.hooks.hook import Part
from llmspell.hooks.results import HookResult, Modify

if TYPE_CHECKING:
    from llmspell.agents.agent import Agent


def is_of(agent: Agent, effect: Effect) -> bool:
    """Whether an effect is the agent's: it names the agent, or comes from a prompt it speaks in."""
    if effect.args.get("agent") == agent.id:
        return True
    return effect.run[Speakers].get(effect.path.rpartition("/")[0]) is agent


class ScopedHook(Hook):
    """A capability's hook, limited to the effects of the agents that have the capability."""

    def __init__(self, hook: Hook, capability: Capability, agents: list[Agent]) -> None:
        self.id = f"{capability.name or capability.type}.{hook.id or type(hook).__name__}"
        self.priority, self.timeout, self.required = hook.priority, hook.timeout, hook.required
        self._hook, self._agents = hook, agents

    def parts(self) -> Iterator[Part]:
        for part in self._hook.parts():
            yield part._replace(only=self._chosen(part.only))

    def _chosen(self, only: Callable[[Effect], bool] | None) -> Callable[[Effect], bool]:
        def chosen(effect: Effect) -> bool:
            mine = any(is_of(agent, effect) for agent in self._agents)
            return mine and (only is None or only(effect))

        return chosen


class InstructionsHook(Hook):
    """Appends a capability's instructions to those of each request."""

    id = "instructions"

    def __init__(self, capability: Capability, agents: list[Agent]) -> None:
        self.timeout, self.required = capability.timeout, capability.required
        self._capability, self._agents = capability, agents

    async def on_model_request(self, call: HookCall) -> HookResult:
        agent = next(agent for agent in self._agents if is_of(agent, call.effect))
        instructions = await self._capability.instructions(agent, call.effect)
        if not instructions:
            return None
        if not isinstance(instructions, str):
            raise TypeError(f"instructions() is {instructions!r}, which is not text")
        system = call.effect.args.get("system")
        return Modify(
            {
                **call.effect.args,
                "system": f"{system}\n\n{instructions}" if system else instructions,
            }
        )
