"""Requests as Anthropic's Messages API takes them.

Source of the format: `anthropic.types.message_create_params` of the official Python SDK. What the
API, in the version the SDK asks for, or the model refuses is not sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmspell.providers.anthropic_content import conversation
from llmspell.providers.anthropic_models import Traits, traits
from llmspell.providers.anthropic_schema import held_to
from llmspell.providers.anthropic_thinking import effort, max_tokens, thinking
from llmspell.providers.body_parts import instructions
from llmspell.providers.http_provider import Body
from llmspell.providers.messages import ModelRequest, ToolResult, ToolSpec, Unknown

if TYPE_CHECKING:
    from llmspell.providers.endpoints import Endpoint

_MAX_TOKENS = 16_384  # the API wants a number; a longer answer may outlast its connection
_FORCING = ("any", "tool")
_BREAKPOINT = {"cache_control": {"type": "ephemeral"}}
_CACHEABLE = {"text", "image", "document", "tool_use", "tool_result"}


def request_body(request: ModelRequest, model: str, endpoint: Endpoint) -> Body:
    """What is posted. `model` is the request's without the provider's name.

    An output schema is one that the model `can_be_held_to`.

    Raises:
        InvalidArguments: A block has no place in a message of its role.
    """
    takes = traits(model)
    choice = _tool_choice(request)
    forced = choice is not None and choice["type"] in _FORCING and takes.forced
    told, messages = instructions(request)
    thought = thinking(request, takes, endpoint, forced=forced)
    optional: Body = {
        "system": _system(told, choice, takes),
        "tools": [_tool(tool) for tool in request.tools],
        "tool_choice": choice if forced or not choice else _unforced(choice),
        "stop_sequences": [text for text in request.stop if text.strip()],
        "temperature": request.temperature if takes.sampling else None,
        "top_p": request.top_p if takes.sampling else None,
        "thinking": thought,
        "output_config": _output_config(request, takes),
    }
    body: Body = {
        "model": model,
        "max_tokens": max_tokens(request, _MAX_TOKENS, thought),
        "messages": conversation(messages, endpoint),
    }
    body |= {name: value for name, value in optional.items() if value not in (None, [], {})}
    own = {**endpoint.extra_body, **request.extra_body}
    if request.cache and not _marks_itself(request, own):
        _set_breakpoints(body)
    return body | own


def longest_answer(request: ModelRequest, model: str, endpoint: Endpoint) -> int:
    """The most tokens that may be asked for: what is thought may come on top of the answer."""
    thought = thinking(request, traits(model), endpoint, forced=False)
    return max_tokens(request, _MAX_TOKENS, thought)


def can_be_held_to(schema: Body, model: str) -> bool:
    """Whether the model's answer can be made to fit the schema."""
    return traits(model).schema and held_to(schema) is not None


def _system(told: list[str], choice: Body | None, takes: Traits) -> list[Body]:
    texts = list(told)
    if choice and choice["type"] in _FORCING and not takes.forced:
        name = choice.get("name")
        texts.append(f"You must call the tool {name}." if name else "You must call a tool.")
    return [{"type": "text", "text": text} for text in texts]


def _tool(tool: ToolSpec) -> Body:
    body: Body = {"name": tool.name, "input_schema": tool.schema}
    return body | {"description": tool.description} if tool.description else body


def _tool_choice(request: ModelRequest) -> Body | None:
    wanted = request.tool_choice
    if not request.tools:
        return None  # the API refuses a choice of nothing
    one = request.parallel_tool_calls is False and wanted != "none"
    if wanted is None and not one:
        return None
    kinds = {None: "auto", "auto": "auto", "none": "none", "required": "any"}
    choice: Body = {"type": kinds.get(wanted, "tool")}
    if choice["type"] == "tool":
        choice["name"] = wanted
    return choice | {"disable_parallel_tool_use": True} if one else choice


def _unforced(choice: Body) -> Body:
    """The choice for a model that cannot be made to call a tool."""
    if choice["type"] not in _FORCING:
        return choice
    return {name: value for name, value in choice.items() if name != "name"} | {"type": "auto"}


def _output_config(request: ModelRequest, takes: Traits) -> Body:
    config: Body = {}
    if level := effort(request, takes):
        config["effort"] = level
    if request.output is not None:
        config["format"] = {"type": "json_schema", "schema": held_to(request.output)}
    return config


def _set_breakpoints(body: Body) -> None:
    """Mark what is likely to come again: tools, system, and the last two of the user's turns.

    They are the four the API allows. The older of the turns is where the last request was marked.
    """
    for name in ("tools", "system"):
        if name in body:
            body[name][-1] = body[name][-1] | _BREAKPOINT
    for turn in [turn for turn in body["messages"] if turn["role"] == "user"][-2:]:
        content = turn["content"]
        for at in range(len(content) - 1, -1, -1):
            if content[at].get("type") in _CACHEABLE:
                content[at] = content[at] | _BREAKPOINT
                break


def _marks_itself(request: ModelRequest, own: Body) -> bool:
    """Whether the spell says what to cache: the API takes four marks, in a certain order."""
    blocks = [block for message in request.messages for block in message.content]
    blocks += [b for result in blocks if isinstance(result, ToolResult) for b in result.content]
    parts: list[Any] = [own, *(block.data for block in blocks if isinstance(block, Unknown))]
    parts += [part for field in own.values() if isinstance(field, list) for part in field]
    return any("cache_control" in part for part in parts if isinstance(part, dict))
