"""The conversations between agents and models in a recorded run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from llmspell.journal.html_page import shown
from llmspell.journal.reader import Reader
from llmspell.journal.records import RecordedRun
from llmspell.journal.spans import parent_of, spans_of
from llmspell.values import Value


@dataclass(frozen=True)
class Conversation:
    """The messages between an agent and its model at the end of a prompt.

    Attributes:
        path: The path of the prompt.
        messages: In the plain form of `llmspell.providers.messages`.
    """

    path: str
    agent: str
    model: str
    system: str | None
    messages: list[dict[str, Value]]


def conversations_of(reader: Reader, run: RecordedRun) -> list[Conversation]:
    """Return the conversations of all prompts, in the order in which the prompts began.

    The last request of a prompt contains all earlier messages.
    """
    root = spans_of(reader, run)
    names = {span.path: span.label or span.path for _, span in root.walk()}
    found: dict[str, Conversation] = {}
    for _, span in root.walk():
        if span.effect is None or span.name != "model.request":
            continue
        prompt = parent_of(span.path) or span.path
        args, outcome = span.effect.args, span.effect.outcome
        messages = _messages(args.get("messages"))
        if span.effect.kind == "ok" and isinstance(outcome, dict):
            messages += _messages([outcome.get("message")])
        agent, model, system = names.get(prompt, prompt), str(args.get("model")), args.get("system")
        found[prompt] = Conversation(prompt, agent, model, system, messages)
    return list(found.values())


def _messages(value: Value) -> list[dict[str, Value]]:
    """Return the messages in a value, which may be malformed if the record is not ours."""
    found = value if isinstance(value, list) else []
    return [message for message in found if isinstance(message, dict)]


def lines_of(conversation: Conversation) -> Iterator[tuple[str, str]]:
    """Yield (speaker, text) pairs in order."""
    if conversation.system:
        yield "system", shown(conversation.system)
    for message in conversation.messages:
        content = message.get("content")
        for block in content if isinstance(content, list) else [content]:
            yield from _said(str(message.get("role")), block)


def _said(role: str, block: Value) -> Iterator[tuple[str, str]]:
    if not isinstance(block, dict):
        yield role, shown(block)
    elif block.get("type") in ("text", "refusal"):
        yield role, shown(block.get("text"))
    elif block.get("type") == "reasoning":
        if block.get("text"):
            yield f"{role} thinks", shown(block["text"])
    elif block.get("type") == "tool_call":
        yield f"{role} calls {block.get('name')}", shown(block.get("arguments"))
    elif block.get("type") == "tool_result":
        yield "tool answers", shown(block.get("content"))
    else:
        yield role, shown(block)
