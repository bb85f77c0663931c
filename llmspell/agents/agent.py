"""An agent: a model, instructions, tools, and the conversation so far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from anyio import Lock

from llmspell.agents.capabilities.agent_capabilities import Capabilities
from llmspell.agents.capabilities.capability import Capability
from llmspell.agents.context import Context, Conversation
from llmspell.agents.streams import Stream
from llmspell.agents.token_counter import TokenCounter
from llmspell.effect_paths import is_within
from llmspell.effects import Effect, Run
from llmspell.errors import AgentError
from llmspell.kept import Kept, size_of
from llmspell.providers.messages import Message
from llmspell.registry import Searchable, plain_name
from llmspell.spending.account import Account
from llmspell.tools.tool import Tool

MAX_STEPS = 20
PARALLEL = 4
RETRIES = 2


def _lock() -> Lock:
    return Lock(fast_acquire=True)  # acquiring a free lock does not yield to the event loop


@dataclass(eq=False)
class Agent:
    """An agent, as created by `Agent.create`.

    Attributes:
        id: Identifies it within its run; the same on every replay.
        model: Provider and model, or None for the default one.
        fallback: Models to ask in turn if `model` fails.
        system: Instructions.
        tools: Tools the model may call: names of the run's tools, and the agent's own tools.
        handoff: Agents that the model may hand the conversation over to.
        output: JSON Schema of its answers; None for text.
        asks: Further fields of each `ModelRequest`, such as `temperature`.
        max_steps: Model requests per prompt, not counting repairs of the answer.
        max_tool_calls: Tool calls per prompt, or None for any number.
        parallel: How many of them may run at once.
        tool_timeout: Seconds per tool call, or None; a tool's own timeout may be shorter.
        approve: Patterns of tool names whose calls a person has to approve; `*` is a wildcard.
        retries: How often the model may repair an answer that does not fit `output`.
        attempts: How often a model is asked in total if it fails with a retryable error.
        context: Limits on the conversation's length, or None.
        timeout: Seconds per prompt, or None.
        history: The conversation, without the instructions.
        counter: Counts the conversation's tokens.
        speaker: Id of the agent the conversation was handed over to, or None.
        active: Paths of the prompts in progress.
        stream: The stream of the prompt that holds the lock, or None.
        account: What the agent and its forks may spend together, if limited.
        capabilities: The capabilities it was created with or given later.
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
        """Its instructions, which say what it is for."""
        return self.system or ""

    @property
    def category(self) -> str:
        return "agent"

    @property
    def tags(self) -> tuple[str, ...]:
        """The types of its capabilities, which it can be searched by."""
        return tuple(sorted({c.type for c in self.capabilities.values()}))

    async def with_capability(self, capability: Capability, effect: Effect) -> Agent:
        """Add a capability and return the agent. Raises as `Capabilities.add` does."""
        await self.capabilities.add(capability, effect)
        return self

    async def without_capability(self, name: str, effect: Effect) -> Agent:
        """Remove the capability of a name, or all of a type, and return the agent."""
        await self.capabilities.remove(name, effect)
        return self

    @property
    def tool_names(self) -> list[str]:
        """The names of its tools, without those for handoffs."""
        return [tool if isinstance(tool, str) else tool.name for tool in self.tools]

    def own_tool(self, name: str) -> Tool | None:
        """Return the agent's own tool of a name: a Lua function, an agent or a pinned version."""
        return next((t for t in self.tools if isinstance(t, Tool) and t.name == name), None)

    def wants_approval(self, tool: str) -> bool:
        """Whether a person has to approve calls of the tool."""
        return any(fnmatchcase(tool, plain_name(pattern)) for pattern in self.approve)

    def fork(self, id: str) -> Agent:  # noqa: A002 - the natural name
        """Return a copy of the agent whose conversation continues independently."""
        return replace(
            self,
            id=id,
            history=list(self.history),
            counter=self.counter.copy(),
            lock=_lock(),
            active=set(),
            stream=None,
        )

    def begin(self, history: list[Message]) -> None:
        """Replace the conversation by another one, which may be empty."""
        self.history = list(history)  # a new list tells a prompt in progress of the change
        self.counter.forget()
        self.speaker = None

    def keep_history(self, run: Run, *, added: int | None = None) -> None:
        """Charge the run for the conversation as it is now. Raises LimitExceeded.

        `added` is by how many bytes it grew, if that is all that changed: measuring it takes longer,
        the longer it is.
        """
        kept, what = run[Kept], (Conversation, self.id)
        if added is None:
            kept.keep(what, size_of(self.history))
        else:
            kept.grow(what, added)

    def check_not_inside(self, path: str) -> None:
        """Raise AgentError for a prompt made by the agent itself, which would deadlock."""
        if any(is_within(path, active) for active in self.active):
            raise AgentError(
                f"agent {self.name!r} was prompted by its own tool",
                hint="give the tool an agent of its own, such as agent:fork()",
            )
        if self.stream and self.stream.holds_up(path):
            raise AgentError(
                f"agent {self.name!r} was prompted while the spell reads its answer",
                hint="read the whole stream first, close it, or prompt agent:fork()",
            )


class Agents(dict[str, Agent], Searchable[Agent]):
    """The agents of a run, by id."""

    def find(self, id: str) -> Agent:  # noqa: A002 - the natural name
        agent = self.get(id)
        if agent is None:
            raise AgentError(f"no agent {id!r} in this run")
        return agent

    def add(self, agent: Agent, run: Run) -> None:
        """Add an agent that the run has created. Raises LimitExceeded."""
        self[agent.id] = agent
        agent.keep_history(run)

    def forget(self, id: str, run: Run) -> None:  # noqa: A002
        """Discard the conversation of an agent that nobody will prompt again, if there is one."""
        if agent := self.get(id):
            agent.begin([])
            agent.keep_history(run)

    async def end_run(self, run: Run) -> None:
        """Detach the agents' capabilities at the end of the run."""
        for agent in list(self.values()):  # a capability may create others
            if agent.capabilities:
                # Below the path of the effect that created it: independent of timing.
                path = f"{agent.id.removeprefix('agent-')}/end"
                await agent.capabilities.clear(Effect("agent.end", {"agent": agent.id}, path, run))

    def drop_kept(self) -> None:
        """Drop the agents, now that the run is over."""
        self.clear()
