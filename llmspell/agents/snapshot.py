"""Saves a conversation as a plain table, and loads it, perhaps in another run."""

from __future__ import annotations

from dataclasses import asdict

from llmspell.agents.agent import Agent
from llmspell.agents.token_counter import TokenCounter
from llmspell.errors import InvalidArguments
from llmspell.providers.deserialization import message_from_plain
from llmspell.values import Value

VERSION = 1


def saved(agent: Agent, speaker: str | None) -> dict[str, Value]:
    """Return the conversation as {version, agent, speaker, tokens, messages}.

    `speaker` is the name of the agent it was handed over to, or None.
    """
    return {
        "version": VERSION,
        "agent": agent.name,
        "speaker": speaker,
        "tokens": asdict(agent.counter),
        "messages": [message.as_plain() for message in agent.history],
    }


def load(agent: Agent, table: dict[str, Value]) -> None:
    """Replace the agent's conversation by a saved one.

    Raises:
        InvalidArguments: It is malformed, or was saved by a newer llmspell.
    """
    version, messages = table.get("version"), table.get("messages")
    if not isinstance(version, int) or not isinstance(messages, list):
        raise _wrong("it is not a conversation that agent:save() returned")
    if version > VERSION:
        raise _wrong(f"it was saved by a newer llmspell: its version is {version}, not {VERSION}")
    history = [message_from_plain(m, target=f"message {n}") for n, m in enumerate(messages, 1)]
    agent.begin(history)
    agent.counter = _counter(table.get("tokens"))
    other = _find_handoff(agent, table.get("speaker"), set())
    agent.speaker = other.id if other else None


def _counter(value: Value) -> TokenCounter:
    if isinstance(value, dict):
        known, tokens, scale = (value.get(name) for name in ("known", "tokens", "scale"))
        if isinstance(known, int) and isinstance(tokens, int) and isinstance(scale, (int, float)):
            return TokenCounter(known, tokens, float(scale))
    return TokenCounter()


def _find_handoff(agent: Agent, name: Value, seen: set[str]) -> Agent | None:
    """Find an agent by name among those that the conversation can be handed over to."""
    seen.add(agent.id)
    for other in agent.handoff:
        if other.name == name:
            return other
        if other.id not in seen and (found := _find_handoff(other, name, seen)):
            return found
    return None


def _wrong(problem: str) -> InvalidArguments:
    return InvalidArguments("agent:load", [problem])
