"""An agent: a model, instructions, tools, and the conversation so far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from anyio import Lock

from llmspell.errors import AgentError
from llmspell.providers.messages import Message
from llmspell.tools.tool import Tool

MAX_STEPS = 20


@dataclass(eq=False)
class Agent:
    """What `Agent.create` makes.

    Attributes:
        id: Names it within its run; the same on every replay.
        model: Provider and model, or None for the default one.
        system: Instructions.
        tools: What the model may call: names of the run's tools, and the agent's own tools.
        output: JSON Schema of its answers; None for text.
        max_steps: Model requests one prompt may take.
        timeout: Seconds one prompt may take, or None.
        history: The conversation, without the system's instructions.
        active: Paths of the prompts in progress.
    """

    id: str
    name: str = "agent"
    model: str | None = None
    system: str | None = None
    tools: tuple[str | Tool, ...] = ()
    output: dict[str, Any] | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    max_steps: int = MAX_STEPS
    timeout: float | None = None
    extra_body: dict[str, Any] = field(default_factory=dict)
    history: list[Message] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)
    active: set[str] = field(default_factory=set)

    def own_tool(self, name: str) -> Tool | None:
        """The agent's own tool of that name: a Lua function, another agent, or a certain version."""
        return next((t for t in self.tools if isinstance(t, Tool) and t.name == name), None)

    def fork(self, id: str) -> Agent:  # noqa: A002 - it is the id
        """Another agent with the same conversation, which then goes its own way."""
        return replace(self, id=id, history=list(self.history), lock=Lock(), active=set())

    def check_not_inside(self, path: str) -> None:
        """Refuse a prompt that the agent itself brought about, as it would wait for itself."""
        if any(path.startswith((f"{p}/", f"{p}.")) for p in self.active):
            raise AgentError(
                f"agent {self.name!r} was prompted by its own tool",
                hint="give the tool an agent of its own, such as agent:fork()",
            )


class Agents(dict[str, Agent]):
    """The agents of a run, by id."""

    def find(self, id: str) -> Agent:  # noqa: A002 - it is the id
        agent = self.get(id)
        if agent is None:
            raise AgentError(f"no agent {id!r} in this run")
        return agent
