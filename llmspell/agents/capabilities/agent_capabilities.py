"""The capabilities of one agent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias
from weakref import ref

from llmspell.agents.capabilities.capability import Capability
from llmspell.agents.capabilities.scoped_hooks import InstructionsHook, ScopedHook
from llmspell.agents.capabilities.turns import Turns
from llmspell.concurrency import Answer, as_failure, settled
from llmspell.effects import Effect, Run
from llmspell.errors import AgentError, EffectError, LimitExceeded, LlmspellError, UnknownEffect
from llmspell.events import Events
from llmspell.hooks import Hook, Hooks
from llmspell.tools.registry import Tools
from llmspell.tools.tool import Tool
from llmspell.values import Value, plain

if TYPE_CHECKING:
    from llmspell.agents.agent import Agent

log = logging.getLogger("llmspell.agents")

Phase: TypeAlias = Literal["attach", "detach"]


class InitialCapability(Capability):
    """What an agent was created with: `own_model` or `own_tools`."""

    def __init__(self, kind: Literal["model", "tools"]) -> None:
        self.type, self.name = kind, f"own_{kind}"

    async def detach(self, agent: Agent, effect: Effect) -> None:  # noqa: ARG002 - an interface
        if self.type == "model":
            agent.model = None


@dataclass
class _Attached:
    """An attached capability, with its tools and hooks.

    Attributes:
        agents: The agents that have it: an agent and its forks.
        hooks: Its hooks, registered once for all of these agents.
    """

    capability: Capability
    tools: tuple[str | Tool, ...] = ()
    agents: list[Agent] = field(default_factory=list)
    hooks: list[Hook] = field(default_factory=list)


class Capabilities(Mapping[str, Capability]):
    """The capabilities of an agent by name, in the order in which they were added."""

    def __init__(self, agent: Agent) -> None:
        self._owner = ref(agent)  # no cycle, so that an agent is freed when its run ends
        self._turns = Turns()
        self._attached: dict[str, _Attached] = {}
        if agent.model is not None:
            self._attached["own_model"] = _Attached(InitialCapability("model"))
        if agent.tools:
            self._attached["own_tools"] = _Attached(InitialCapability("tools"), agent.tools)

    @property
    def _agent(self) -> Agent:
        agent = self._owner()
        assert agent is not None  # noqa: S101 - it owns this
        return agent

    def __getitem__(self, name: str) -> Capability:
        return self._attached[name].capability

    def __iter__(self) -> Iterator[str]:
        return iter(self._attached)

    def __len__(self) -> int:
        return len(self._attached)

    def of_type(self, kind: str) -> list[Capability]:
        """Return the capabilities of a type."""
        return [c for c in self.values() if c.type == kind]

    def describe(self) -> list[dict[str, Value]]:
        """Return a description of each: {name, type, tools, …}."""
        return [
            {
                **_description_of(entry.capability),
                "name": name,
                "type": entry.capability.type,
                "tools": [t if isinstance(t, str) else t.name for t in entry.tools],
            }
            for name, entry in self._attached.items()
        ]

    async def add(self, capability: Capability, effect: Effect) -> None:
        """Attach a capability; one of the same name is removed first.

        Raises:
            AgentError: It cannot be attached; the one it was to replace is removed all the same.
            UnknownEffect: It names a tool that does not exist.
        """
        async with self._turns.turn(effect):
            await self._add(capability, effect)

    async def _add(self, capability: Capability, effect: Effect) -> None:
        name = capability.name or capability.type
        if name in self._attached:
            await self._detach_entry(name, effect)
        entry = _Attached(capability, agents=[self._agent])
        await self._do("attach", capability, effect)
        try:
            self._register(entry, effect)
        except UnknownEffect:
            await self._detach(capability, effect)
            raise
        except Exception as error:
            await self._detach(capability, effect)
            raise self._failed("attach", capability, effect, error) from error
        self._attached[name] = entry
        self._set_tools()

    async def remove(self, name: str, effect: Effect) -> int:
        """Remove the capability of a name, else all of a type; return how many were removed."""
        async with self._turns.turn(effect):
            names = [name] if name in self else [n for n, c in self.items() if c.type == name]
            for each in names:
                await self._detach_entry(each, effect)
            return len(names)

    async def clear(self, effect: Effect) -> None:
        """Remove all capabilities the agent was given, in reverse order.

        If one exceeds a limit of the run, that is only logged, so that the others are detached.
        """
        for name in [
            n for n, c in reversed(list(self.items())) if not isinstance(c, InitialCapability)
        ]:
            capability = self[name]
            try:
                await self._detach_entry(name, effect)
            except LimitExceeded as error:
                log.warning("%s", self._failed("detach", capability, effect, error))

    async def adopt(self, others: Capabilities, effect: Effect) -> None:
        """Share the capabilities of the agent that this one is a fork of, and no others."""
        self._attached = {}
        entries = list(others._attached.items())
        for _, entry in entries:  # their hooks stay, even if the other agent loses them meanwhile
            entry.agents.append(self._agent)
        try:
            for name, entry in entries:
                if not isinstance(entry.capability, InitialCapability):
                    await self._do("attach", entry.capability, effect)
                self._attached[name] = entry
        except BaseException:
            await self.clear(effect)
            for _, entry in entries:
                self._leave(entry, effect.run)
            raise

    def _register(self, entry: _Attached, effect: Effect) -> None:
        """Collect its tools, and register its hooks."""
        capability, run = entry.capability, effect.run
        entry.tools = tuple(capability.tools())
        for tool in entry.tools:
            if isinstance(tool, str):
                run[Tools].find(tool)
            elif not isinstance(tool, Tool):
                raise TypeError(f"tools() has {tool!r}, which is not a tool; @tool makes one")
        own = list(capability.hooks())
        for hook in own:
            if not isinstance(hook, Hook):
                raise TypeError(f"hooks() has {hook!r}, which is not a Hook")
        if type(capability).instructions is not Capability.instructions:
            own.append(InstructionsHook(capability, entry.agents))
        entry.hooks = [ScopedHook(hook, capability, entry.agents) for hook in own]
        try:
            for hook in entry.hooks:
                run[Hooks].add(hook)
        except Exception:
            self._remove_hooks(entry, run)
            raise

    async def _detach_entry(self, name: str, effect: Effect) -> None:
        entry = self._attached.pop(name)
        self._set_tools()
        self._leave(entry, effect.run)
        await self._detach(entry.capability, effect)

    def _leave(self, entry: _Attached, run: Run) -> None:
        """Take the agent from those that have a capability; the last one takes its hooks with it."""
        if self._agent in entry.agents:
            entry.agents.remove(self._agent)
        if not entry.agents:
            self._remove_hooks(entry, run)

    def _remove_hooks(self, entry: _Attached, run: Run) -> None:
        for hook in entry.hooks:
            run[Hooks].remove(hook)

    def _set_tools(self) -> None:
        """Set the agent's tools to those of its capabilities; a later one replaces its namesake."""
        named = {
            tool if isinstance(tool, str) else tool.name: tool
            for entry in self._attached.values()
            for tool in entry.tools
        }
        self._agent.tools = tuple(named.values())

    async def _detach(self, capability: Capability, effect: Effect) -> None:
        """Detach a capability, even during cancellation; a failure is only logged."""
        from anyio import CancelScope

        with CancelScope(shield=True):
            try:
                await self._do("detach", capability, effect)
            except AgentError as error:
                log.warning("%s", error)

    async def _do(self, what: Phase, capability: Capability, effect: Effect) -> None:
        """Call a method of a capability with its timeout. Raises AgentError, and run limits."""
        from anyio import move_on_after

        work: Callable[[Agent, Effect], Answer[None]] = getattr(capability, what)
        try:
            with move_on_after(capability.timeout):
                await settled(work(self._agent, effect))
                return
        except (asyncio.CancelledError, SystemExit) as error:
            raise self._failed(what, capability, effect, as_failure(error)) from error
        except Exception as error:
            if isinstance(error, LlmspellError) and not isinstance(error, EffectError):
                raise
            raise self._failed(what, capability, effect, error) from error
        late = TimeoutError(f"it took more than {capability.timeout:g} seconds")
        raise self._failed(what, capability, effect, late)

    def _failed(
        self, what: Phase, capability: Capability, effect: Effect, error: Exception
    ) -> AgentError:
        name, agent = capability.name or capability.type, self._agent.name
        problem = str(error) or type(error).__name__
        about = {"capability": name, "agent": agent, "phase": what, "message": problem}
        effect.run[Events].tell("capability.failed", {**about, "run": effect.run.id})
        return AgentError(
            f"capability {name!r} of agent {agent!r}: {what} failed: {problem}",
            hint=getattr(error, "hint", None),
        )


def _description_of(capability: Capability) -> dict[str, Value]:
    """Return its `describe()`; an empty table, with a warning, if that fails."""
    try:
        return {name: plain(value) for name, value in capability.describe().items()}
    except Exception as error:  # noqa: BLE001 - a capability may raise anything
        log.warning(
            "capability %r cannot be described: %s: %s",
            capability.name or capability.type,
            type(error).__name__,
            error,
        )
        return {}
