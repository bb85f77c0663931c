"""Messages, requests and responses, independent of any provider's protocol.

Everything here has a plain form (`as_plain`), in which a request passes through the effect chain
and Lua hooks read and rewrite it; `llmspell.providers.deserialization` is the inverse. Unset fields
are left out, so that they are nil in Lua. Nested tables are shared, not copied.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from llmspell.values import Value

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Text:
    text: str

    def as_plain(self) -> dict[str, Value]:
        return {"type": "text", "text": self.text}


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a model says when it refuses to answer."""

    text: str

    def as_plain(self) -> dict[str, Value]:
        return {"type": "refusal", "text": self.text}


@dataclass(frozen=True, slots=True)
class Image:
    """An image: either bytes with their media type, such as `image/png`, or a URL."""

    data: bytes | None = None
    media_type: str | None = None
    url: str | None = None

    def as_plain(self) -> dict[str, Value]:
        fields = _present(data=self.data, media_type=self.media_type, url=self.url)
        return {"type": "image", **fields}


@dataclass(frozen=True, slots=True)
class File:
    """A document or a recording: bytes with their media type, such as `application/pdf`, or a URL.

    With a URL the media type may be unknown.
    """

    data: bytes | None = None
    media_type: str | None = None
    name: str = "file"
    url: str | None = None

    def as_plain(self) -> dict[str, Value]:
        fields = _present(data=self.data, media_type=self.media_type, url=self.url)
        return {"type": "file", "name": self.name, **fields}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call requested by a model.

    Attributes:
        id: Pairs the call with its result; unique in the conversation.
        problem: Why the arguments could not be parsed; `arguments` is then empty.
        raw: The text the model wrote as arguments, if there is a problem.
    """

    id: str
    name: str
    arguments: dict[str, Value] = field(default_factory=dict)
    problem: str | None = None
    raw: str | None = None

    def as_plain(self) -> dict[str, Value]:
        plain = {"type": "tool_call", "id": self.id, "name": self.name, "arguments": self.arguments}
        return plain | _present(problem=self.problem, raw=self.raw)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of the tool call of the same id."""

    id: str
    content: tuple[Block, ...] = ()
    is_error: bool = False

    def as_plain(self) -> dict[str, Value]:
        plain = {"type": "tool_result", "id": self.id, "content": _content(self.content)}
        return plain | {"is_error": True} if self.is_error else plain


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A model's reasoning, as far as its provider shows it.

    It is sent back, in its place, only to the provider it came from.

    Attributes:
        text: The reasoning or a summary of it; "" if it is hidden.
        data: Fields of the provider's own block, such as its signature.
    """

    provider: str
    text: str = ""
    data: dict[str, Value] = field(default_factory=dict)

    def as_plain(self) -> dict[str, Value]:
        plain = {"type": "reasoning", "provider": self.provider, "text": self.text}
        return plain | {"data": self.data} if self.data else plain


@dataclass(frozen=True, slots=True)
class Extra:
    """Fields of an answer that only its own provider understands.

    They are sent back with the message only to that provider.
    """

    provider: str
    data: dict[str, Value]

    def as_plain(self) -> dict[str, Value]:
        return {"type": "extra", "provider": self.provider, "data": self.data}


@dataclass(frozen=True, slots=True)
class Unknown:
    """A block of unknown type: kept, and sent as it is."""

    data: dict[str, Value]

    def as_plain(self) -> dict[str, Value]:
        return self.data


Block: TypeAlias = (
    Text | Refusal | Image | File | ToolCall | ToolResult | Reasoning | Extra | Unknown
)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. In plain form, content is a string if it is only text, else a list of blocks.

    Tool results are in a message of the role `tool`, after the one that made the calls.
    """

    role: Role
    content: tuple[Block, ...] = ()

    @classmethod
    def of(cls, role: Role, *content: str | Block) -> Message:
        """Create a message of these blocks; a string is short for a text block."""
        return cls(role, tuple(Text(b) if isinstance(b, str) else b for b in content))

    @property
    def text(self) -> str:
        """The text blocks, joined."""
        return "".join([b.text for b in self.content if type(b) is Text])

    @property
    def refusal(self) -> str | None:
        """The refusal, or None if the model did not refuse."""
        return "".join([b.text for b in self.content if type(b) is Refusal]) or None

    @property
    def reasoning(self) -> str:
        """The text of the reasoning blocks, joined."""
        return "".join([b.text for b in self.content if type(b) is Reasoning])

    @property
    def tool_calls(self) -> list[ToolCall]:
        return [b for b in self.content if type(b) is ToolCall]

    def as_plain(self) -> dict[str, Value]:
        return {"role": self.role, "content": _content(self.content)}


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as described to a model; `schema` is the JSON Schema of its arguments, an object."""

    name: str
    description: str = ""
    schema: dict[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})

    def as_plain(self) -> dict[str, Value]:
        return {"name": self.name, "description": self.description, "schema": self.schema}


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A request to a model.

    Attributes:
        model: Provider and model, such as `openai/gpt-5.4-mini`.
        system: Instructions that precede the messages.
        tool_choice: "auto", "none", "required", or the name of the tool it must call.
        output: JSON Schema the answer's text must fit.
        temperature: Sampling temperature; 0 is the least varied.
        top_p: Nucleus sampling: the probability mass of the tokens to choose from.
        max_tokens: Longest answer, in the model's tokens.
        stop: Stop sequences, at which the answer ends.
        seed: Makes sampling repeatable, with providers that support it.
        reasoning: How much to think before answering: "none", "low", "medium", "high", or tokens.
        parallel_tool_calls: Whether one answer may call several tools; None for the provider's
            default.
        cache: Whether to set cache breakpoints, for providers that cache only at those.
        extra_body: Fields of the provider's own protocol, added to its request last.
        patience: Longest pause between two attempts, in seconds; None for the default.
        key: The idempotency key: the path of the effect. Not part of the plain form.
    """

    model: str
    messages: tuple[Message, ...]
    system: str | None = None
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: str | None = None
    output: dict[str, Any] | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    reasoning: str | int | None = None
    parallel_tool_calls: bool | None = None
    cache: bool = True
    extra_body: dict[str, Value] = field(default_factory=dict)
    patience: float | None = None
    key: str | None = None

    def as_plain(self) -> dict[str, Value]:
        return {
            "model": self.model,
            "messages": [m.as_plain() for m in self.messages],
        } | _present(
            system=self.system,
            tools=[t.as_plain() for t in self.tools] or None,
            tool_choice=self.tool_choice,
            output=self.output,
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens,
            stop=list(self.stop) or None,
            seed=self.seed,
            reasoning=self.reasoning,
            parallel_tool_calls=self.parallel_tool_calls,
            cache=None if self.cache else False,
            extra_body=self.extra_body or None,
            patience=self.patience,
        )


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts and cost.

    Attributes:
        cached_tokens: Input tokens read from the provider's cache.
        reasoning_tokens: Output tokens spent on reasoning.
        cache_written_tokens: Input tokens written to the cache, where that is priced separately.
        usd: Cost in US dollars; None if unknown.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cache_written_tokens: int = 0
    usd: float | None = None

    def __add__(self, other: Usage) -> Usage:
        """Return the sum; its cost is known if both costs are."""
        if self == _NO_USAGE:
            return other
        usd = None if self.usd is None or other.usd is None else self.usd + other.usd
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.cache_written_tokens + other.cache_written_tokens,
            usd,
        )

    def as_plain(self) -> dict[str, Value]:
        plain: dict[str, Value] = {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cached_tokens": self.cached_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "cache_written_tokens": self.cache_written_tokens,
        }
        return plain if self.usd is None else plain | {"usd": self.usd}


_NO_USAGE = Usage()


INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class ModelResponse:
    """A model's answer.

    Attributes:
        finish_reason: "stop", "length", "tool_calls", "content_filter", or the provider's word;
            `INTERRUPTED` if the caller ended the stream early, so that no usage was reported.
        model: The model that answered; its name may be more specific than the request's.
        id: The provider's id of the answer; "" if it has none.
    """

    message: Message
    usage: Usage = Usage()
    finish_reason: str = "stop"
    model: str = ""
    id: str = ""

    def as_plain(self) -> dict[str, Value]:
        return {
            "message": self.message.as_plain(),
            "usage": self.usage.as_plain(),
            "finish_reason": self.finish_reason,
            "model": self.model,
            "id": self.id,
        }


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of an answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More of the model's visible reasoning."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """More of a tool call: the first delta of an index has id and name, later ones arguments.

    Attributes:
        index: Index among the answer's calls, from 0.
        arguments: The next part of its arguments, which are JSON text.
    """

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


Delta: TypeAlias = TextDelta | ReasoningDelta | ToolCallDelta
"""A part of a streamed answer."""


def _content(blocks: tuple[Block, ...]) -> Value:
    if len(blocks) == 1 and type(blocks[0]) is Text:
        return blocks[0].text
    return [b.as_plain() for b in blocks]


def _present(**fields: Value) -> dict[str, Value]:
    return {name: value for name, value in fields.items() if value is not None}
