"""An agent: a model, instructions, tools, and the conversation so far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from anyio import Lock

from llmspell.agents.capabilities.agent_capabilities import Capabilities
from llmspell.agents.capabilities.capability import Capability
from llmspell.agents.context import Context
from llmspell.agents.streams import Stream
from llmspell.agents.token_counter import TokenCounter
from llmspell.effect_paths import is_within
from llmspell.effects import Effect, Run
from llmspell.errors import AgentError
from llmspell.providers.messages import Message
from llmspell.registry import Searchable
from llmspell.spending.account import Account
from llmspell.tools.tool import Tool

MAX_STEPS = 20
PARALLEL = 4
RETRIES = 2


def _lock() -> Lock:
    return Lock(fast_acquire=True)  # one that is free is had without a turn of the event loop


@dataclass(eq=False)
class Agent:
    """What `Agent.create` makes.

    Attributes:
        id: Names it within its run; the same on every replay.
        model: Provider and model, or None for the default one.
        fallback: Models to ask, one after the other, when that one cannot be.
        system: Instructions.
        tools: What the model may call: names of the run's tools, and the agent's own tools.
        handoff: Agents that the model may hand the conversation over to.
        output: JSON Schema of its answers; None for text.
        asks: More that each request says: fields of `ModelRequest`, such as `temperature`.
        max_steps: Model requests one prompt may take, repairs of its answer aside.
        max_tool_calls: Tool calls one prompt may make, or None.
        parallel: How many of them at once.
        tool_timeout: Seconds each may take, or None; a tool's own timeout may be shorter.
        approve: Names of tools whose calls a person has to approve of, with `*` for any part.
        retries: How often a model is shown what is wrong with an answer that does not fit.
        attempts: How often a model is asked when that fails in a way that may pass.
        context: How long the conversation may get, or None.
        timeout: Seconds one prompt may take, or None.
        history: The conversation, without the system's instructions.
        counter: Knows how many tokens that has.
        speaker: The id of the agent the conversation was handed over to, or None.
        active: Paths of the prompts in progress.
        stream: Where the prompt that is in turn is told to, or None.
        account: What it and its forks may spend together, if that is limited.
        capabilities: What else it was given, and what it was made with.
    """

    id: str
    name: str = "agent"
    model: str | None = None
    fallback: tuple[str, ...] = ()
    system: str | None = None
    tools: tuple[str | Tool, ...] = ()
    handoff: tuple[Agent, ...] = ()
    output: dict[str, Any] | None = None
    asks: dict[str, Any] = field(default_factory=dict)
    max_steps: int = MAX_STEPS
    max_tool_calls: int | None = None
    parallel: int = PARALLEL
    tool_timeout: float | None = None
    approve: tuple[str, ...] = ()
    retries: int = RETRIES
    attempts: int = 1
    context: Context | None = None
    timeout: float | None = None
    history: list[Message] = field(default_factory=list)
    counter: TokenCounter = field(default_factory=TokenCounter)
    speaker: str | None = None
    lock: Lock = field(default_factory=_lock)
    active: set[str] = field(default_factory=set)
    stream: Stream | None = None
    account: Account | None = None
    capabilities: Capabilities = field(init=False)

    def __post_init__(self) -> None:
        self.capabilities = Capabilities(self)

    @property
    def description(self) -> str:
        """What it is for: its instructions."""
        return self.system or ""

    @property
    def category(self) -> str:
        return "agent"

    @property
    def tags(self) -> tuple[str, ...]:
        """The types of its capabilities, so that it is found by them."""
        return tuple(sorted({c.type for c in self.capabilities.values()}))

    async def with_capability(self, capability: Capability, effect: Effect) -> Agent:
        """Give it a capability, on behalf of an effect; itself. Raises as `Capabilities.add`."""
        await self.capabilities.add(capability, effect)
        return self

    async def without_capability(self, name: str, effect: Effect) -> Agent:
        """Take away the capability of a name, or those of a type; itself."""
        await self.capabilities.remove(name, effect)
        return self

    @property
    def tool_names(self) -> list[str]:
        """What its model may call, agents it hands over to aside."""
        return [tool if isinstance(tool, str) else tool.name for tool in self.tools]

    def own_tool(self, name: str) -> Tool | None:
        """The agent's own tool of that name: a Lua function, another agent, or a certain version."""
        return next((t for t in self.tools if isinstance(t, Tool) and t.name == name), None)

    def wants_approval(self, tool: str) -> bool:
        """Whether a person has to approve of each call of that tool."""
        return any(fnmatchcase(tool, pattern) for pattern in self.approve)

    def fork(self, id: str) -> Agent:  # noqa: A002 - it is the id
        """Another agent with the same conversation, which then goes its own way."""
        return replace(
            self,
            id=id,
            history=list(self.history),
            counter=replace(self.counter),
            lock=_lock(),
            active=set(),
            stream=None,
        )

    def begin(self, history: list[Message]) -> None:
        """Go on with another conversation, or an empty one."""
        self.history = list(history)  # another list: a prompt in progress goes by that
        self.counter.forget()
        self.speaker = None

    def check_not_inside(self, path: str) -> None:
        """Refuse a prompt that the agent itself brought about, as it would wait for itself."""
        if any(is_within(path, active) for active in self.active):
            raise AgentError(
                f"agent {self.name!r} was prompted by its own tool",
                hint="give the tool an agent of its own, such as agent:fork()",
            )
        if self.stream and self.stream.holds_up(path):
            raise AgentError(
                f"agent {self.name!r} was prompted while the spell takes what it says",
                hint="take all of it first, close the stream, or prompt agent:fork()",
            )


class Agents(dict[str, Agent], Searchable[Agent]):
    """The agents of a run, by id."""

    def find(self, id: str) -> Agent:  # noqa: A002 - it is the id
        agent = self.get(id)
        if agent is None:
            raise AgentError(f"no agent {id!r} in this run")
        return agent

    async def end_run(self, run: Run) -> None:
        """Take away what they were given, when the run has ended."""
        for agent in self.values():
            if agent.capabilities:
                # Under the path of what made it, so that paths do not depend on timing.
                path = f"{agent.id.removeprefix('agent-')}/end"
                await agent.capabilities.clear(Effect("agent.end", {"agent": agent.id}, path, run))
