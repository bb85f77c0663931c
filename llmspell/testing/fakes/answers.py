"""Scripted answers of a model, independent of the protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from llmspell.providers.messages import Refusal, ToolCall, Unknown, Usage
from llmspell.providers.strict_json import write_json


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A model's reasoning; `signature` is what the provider expects back with it."""

    text: str
    signature: str = "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pk"


Part: TypeAlias = str | Reasoning | ToolCall | Refusal | Unknown

PIECES = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's answer, made of parts: texts, `ToolCall`, `Reasoning`, `Refusal`, `Unknown`.

    A `ToolCall` whose `raw` is set is written with that text in place of its arguments. `Unknown`
    is put into the answer as it is. An answer without parts has no choices at all.

    Attributes:
        finish_reason: "stop", "length", "tool_calls" or "content_filter", which is translated to
            each protocol; anything else is sent as it is.
        pieces: The most pieces a stream splits each text and each call's arguments into.
        fields: Merged into the answer's body, and into each chunk if the protocol has chunks.
    """

    parts: tuple[Part, ...]
    finish_reason: str | None
    usage: Usage
    pieces: int
    fields: dict[str, Any]

    def __init__(
        self,
        *parts: Part,
        finish_reason: str | None = None,
        usage: Usage = Usage(19, 10, 8, 4),  # noqa: B008 - it is frozen
        pieces: int = PIECES,
        **fields: Any,
    ) -> None:
        for name, value in (
            ("parts", parts),
            ("finish_reason", finish_reason),
            ("usage", usage),
            ("pieces", pieces),
            ("fields", fields),
        ):
            object.__setattr__(self, name, value)

    @property
    def text(self) -> str:
        return "".join([part for part in self.parts if isinstance(part, str)])

    @property
    def calls(self) -> list[ToolCall]:
        return [part for part in self.parts if isinstance(part, ToolCall)]

    @property
    def reasoning(self) -> str:
        return "".join([part.text for part in self.parts if isinstance(part, Reasoning)])

    @property
    def refusal(self) -> str | None:
        said = [part.text for part in self.parts if isinstance(part, Refusal)]
        return "".join(said) if said else None

    @property
    def unknown(self) -> dict[str, Any]:
        """The fields of all its unknown parts, merged."""
        return {
            k: v for part in self.parts if isinstance(part, Unknown) for k, v in part.data.items()
        }

    @property
    def reason(self) -> str:
        """The finish reason."""
        return self.finish_reason or ("tool_calls" if self.calls else "stop")

    def cut(self, text: str) -> list[str]:
        """Split a text into the pieces that a stream sends."""
        size = max(-(-len(text) // self.pieces), 1)
        return [text[at : at + size] for at in range(0, len(text), size)]


def arguments_of(call: ToolCall) -> str:
    """Return a call's arguments as the text a model writes."""
    return write_json(call.arguments) if call.raw is None else call.raw


def ids(parts: tuple[Part, ...], prefix: str) -> dict[int, str]:
    """Return the id of each call by its index in the parts; missing ids are generated."""
    return {
        at: part.id or f"{prefix}{at + 1:024}"
        for at, part in enumerate(parts)
        if isinstance(part, ToolCall)
    }
