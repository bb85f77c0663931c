"""Parses responses of OpenAI's chat completions, and of servers that claim to be compatible.

Source of the format: `openai.types.chat.chat_completion` of the official Python SDK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmspell.providers.answer_parts import count, string, tool_call
from llmspell.providers.failures import failed_inside, malformed_answer
from llmspell.providers.messages import (
    Block,
    Extra,
    Message,
    ModelRequest,
    ModelResponse,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Usage,
)

if TYPE_CHECKING:
    from llmspell.providers.endpoints import Endpoint

Body = dict[str, Any]

_KNOWN = {"role", "content", "refusal", "tool_calls"}
REASONING = ("reasoning_content", "reasoning")
"""Fields with the model's reasoning: DeepSeek, xAI, Fireworks and llama.cpp use the first;
OpenRouter, Groq, Cerebras, Together, Ollama and vLLM the second; some use both."""


def response_from(data: Body, request: ModelRequest, endpoint: Endpoint) -> ModelResponse:
    """Parse a response.

    Raises:
        ProviderError: It is an error object, or malformed.
    """
    choice = _first_choice(data, endpoint)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise malformed_answer(endpoint, "the answer's choice has no message")
    blocks = _blocks(message, request, endpoint)
    called = any(type(block) is ToolCall for block in blocks)
    model = data.get("model")
    return ModelResponse(
        message=Message("assistant", tuple(blocks)),
        usage=_usage(data.get("usage")),
        finish_reason=_finish_reason(choice.get("finish_reason"), called=called),
        model=f"{endpoint.name}/{model}" if isinstance(model, str) and model else request.model,
        id=string(data.get("id")),
    )


def _first_choice(data: Body, endpoint: Endpoint) -> Body:
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    # OpenRouter reports failures of upstream providers with status 200.
    error = data.get("error") or (isinstance(choice, dict) and choice.get("error"))
    if error:
        raise failed_inside(endpoint, error)
    if not isinstance(choice, dict):
        raise malformed_answer(endpoint, "the answer has no choices")
    return choice


def _blocks(message: Body, request: ModelRequest, endpoint: Endpoint) -> list[Block]:
    rest = {name: v for name, v in message.items() if name not in _KNOWN and v not in (None, [])}
    blocks: list[Block] = []
    if reasoning := _reasoning(rest, endpoint.name):
        blocks.append(reasoning)
    if rest:
        blocks.append(Extra(endpoint.name, rest))
    blocks += _content(message.get("content"), endpoint.name)
    if refusal := message.get("refusal"):
        blocks.append(Refusal(string(refusal)))
    if calls := message.get("tool_calls"):
        blocks += _tool_calls(calls, request, endpoint)
    return blocks


def _reasoning(fields: Body, provider: str) -> Reasoning | None:
    """Pop the model's reasoning from the fields.

    Its data is what is needed to send it back: OpenRouter's `reasoning_details` as they are, or
    the name of the `field` that held the text.
    """
    texts = {n: fields.pop(n) for n in REASONING if isinstance(fields.get(n), str)}
    name = next((name for name in texts if texts[name]), None)
    details = fields.pop("reasoning_details", None)
    if isinstance(details, list):
        text = texts[name] if name else "".join(map(_detail_text, details))
        return Reasoning(provider, text, {"reasoning_details": details})
    return Reasoning(provider, texts[name], {"field": name}) if name else None


def _detail_text(detail: Any) -> str:
    return string(detail.get("text") or detail.get("summary")) if isinstance(detail, dict) else ""


def _content(content: Any, provider: str) -> list[Block]:
    if isinstance(content, str):
        return [Text(content)] if content else []
    blocks: list[Block] = []
    for part in content if isinstance(content, list) else ():
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            blocks.append(Text(part["text"]))
        elif kind == "thinking":
            blocks.append(Reasoning(provider, thought_in(part), {"content": [part]}))
        elif isinstance(part, dict):
            blocks.append(Extra(provider, {"content": [part]}))
    return _texts_joined(blocks)


def thought_in(part: Body) -> str:
    """Return the reasoning in one of Mistral's content parts."""
    thought = part.get("thinking")
    return "".join(map(_detail_text, thought)) if isinstance(thought, list) else string(thought)


def _texts_joined(blocks: list[Block]) -> list[Block]:
    joined: list[Block] = []
    for block in blocks:
        last = joined[-1] if joined else None
        if isinstance(block, Text) and isinstance(last, Text):
            joined[-1] = Text(last.text + block.text)
        else:
            joined.append(block)
    return joined


def _tool_calls(calls: Any, request: ModelRequest, endpoint: Endpoint) -> list[ToolCall]:
    parsed: list[ToolCall] = []
    for item in calls if isinstance(calls, list) else [calls]:
        call = item if isinstance(item, dict) else {}
        function = call.get("function")
        if not isinstance(function, dict):
            raise malformed_answer(endpoint, "the answer holds a tool call without a function")
        name, arguments = function.get("name"), function.get("arguments")
        parsed.append(tool_call(call.get("id"), name, arguments, request, parsed))
    return parsed


def _finish_reason(reason: Any, *, called: bool) -> str:
    # Some servers report "stop" after a tool call, and some report nothing.
    if called and reason in ("stop", "function_call", None, ""):
        return "tool_calls"
    return reason if reason and isinstance(reason, str) else "stop"


def _usage(usage: Any) -> Usage:
    if not isinstance(usage, dict):
        return Usage()
    prompt, completion = count(usage, "prompt_tokens"), count(usage, "completion_tokens")
    read, written = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    return Usage(
        input_tokens=prompt,
        # xAI counts reasoning tokens in the total, but not in the completion.
        output_tokens=max(completion, count(usage, "total_tokens") - prompt),
        cached_tokens=count(read, "cached_tokens")
        or count(usage, "cached_tokens")  # Together, Moonshot
        or count(usage, "prompt_cache_hit_tokens"),  # DeepSeek
        reasoning_tokens=count(written, "reasoning_tokens"),
        cache_written_tokens=count(read, "cache_write_tokens"),
    )
