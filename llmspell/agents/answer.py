"""The result of a prompt."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from llmspell.providers.messages import Message, Usage
from llmspell.providers.strict_json import read_json
from llmspell.schema import schema_problems
from llmspell.values import Value, encodable, legible


@dataclass
class Answer:
    """The result of a prompt.

    Attributes:
        text: The text of the last answer.
        data: The decoded answer of an agent with an output schema.
        usage: Total usage of all its model requests.
        steps: Number of model requests.
        tool_calls: Every call made: name, arguments, and result or error.
        model: The model that answered.
        agent: Name of the agent that answered: the one prompted, or one it handed over to.
        failed: Models that were asked before and failed: {model, code, message}.
    """

    text: str
    data: Value
    usage: Usage
    steps: int
    tool_calls: list[dict[str, Value]]
    finish_reason: str
    model: str
    agent: str
    failed: list[Value] = field(default_factory=list)

    def as_plain(self) -> dict[str, Value]:
        return {
            "text": self.text,
            "data": self.data,
            "usage": self.usage.as_plain(),
            "steps": self.steps,
            "tool_calls": self.tool_calls,
            "finish_reason": self.finish_reason,
            "model": self.model,
            "agent": self.agent,
            "failed": self.failed,
        }


def decoded(schema: dict[str, Any], text: str, finish_reason: str) -> tuple[Value, list[str]]:
    """Parse an answer's JSON text; return the data, and the problems with it."""
    try:
        data = read_json(_unfenced(text))
    except ValueError as error:
        problems = [f"it is not valid JSON: {error}"]
        if finish_reason == "length":
            problems.append("it was cut off: raise max_tokens")
        return None, problems
    return data, schema_problems(schema, data)


def _unfenced(text: str) -> str:
    """Return the text without the code fence that models like to put around JSON."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        return text[text.index("\n") : -3]
    return text


def repair(problems: list[str]) -> Message:
    """Return the message that asks a model to correct its answer."""
    listed = "\n".join([f"- {problem}" for problem in problems])
    return Message.of(
        "user",
        f"That answer does not match the requested format:\n{listed}\nGive the whole answer again.",
    )


def as_text(value: Value) -> str:
    """Return a value as text for a model: text as it is, anything else as JSON.

    Servers refuse requests that are not Unicode, as a file's name from the system may be.
    """
    readable = legible(value)
    text = readable if isinstance(readable, str) else json.dumps(readable, ensure_ascii=False)
    return encodable(text)
