"""Builds request bodies for Anthropic's Messages API.

Source of the format: `anthropic.types.message_create_params` of the official Python SDK. Fields
that the model, or the API version the SDK asks for, would reject are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmspell.providers.anthropic_content import conversation
from llmspell.providers.anthropic_models import Traits, traits
from llmspell.providers.anthropic_schema import to_supported_schema
from llmspell.providers.anthropic_thinking import effort, max_tokens, thinking
from llmspell.providers.body_parts import instructions
from llmspell.providers.http_provider import Body
from llmspell.providers.messages import ModelRequest, ToolResult, ToolSpec, Unknown

if TYPE_CHECKING:
    from llmspell.providers.endpoints import Endpoint

_MAX_TOKENS = 16_384  # the API requires a number; a longer answer may outlast its connection
_FORCING = ("any", "tool")
_BREAKPOINT = {"cache_control": {"type": "ephemeral"}}
_CACHEABLE = {"text", "image", "document", "tool_use", "tool_result"}


def request_body(request: ModelRequest, model: str, endpoint: Endpoint) -> Body:
    """Return the JSON body to post. `model` is the request's, without the provider's name.

    The request's output schema, if any, must be one that `supports_schema` accepts.

    Raises:
        InvalidArguments: A message contains a block that its role does not allow.
    """
    takes = traits(model)
    choice = _tool_choice(request)
    forced = choice is not None and choice["type"] in _FORCING and takes.forced
    system, messages = instructions(request)
    thought = thinking(request, takes, endpoint, forced=forced)
    optional: Body = {
        "system": _system(system, choice, takes),
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
    if request.cache and not _sets_breakpoints(request, own):
        _set_breakpoints(body)
    return body | own


def longest_answer(request: ModelRequest, model: str, endpoint: Endpoint) -> int:
    """Return the most tokens the request may ask for, including any thinking budget."""
    thought = thinking(request, traits(model), endpoint, forced=False)
    return max_tokens(request, _MAX_TOKENS, thought)


def supports_schema(schema: Body, model: str) -> bool:
    """Whether the API can constrain the model's answer to the schema."""
    return traits(model).schema and to_supported_schema(schema) is not None


def _system(system: list[str], choice: Body | None, takes: Traits) -> list[Body]:
    texts = list(system)
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
        return None  # the API rejects a tool choice without tools
    one = request.parallel_tool_calls is False and wanted != "none"
    if wanted is None and not one:
        return None
    kinds = {None: "auto", "auto": "auto", "none": "none", "required": "any"}
    choice: Body = {"type": kinds.get(wanted, "tool")}
    if choice["type"] == "tool":
        choice["name"] = wanted
    return choice | {"disable_parallel_tool_use": True} if one else choice


def _unforced(choice: Body) -> Body:
    """Return the tool choice for a model that cannot be forced to call a tool."""
    if choice["type"] not in _FORCING:
        return choice
    return {name: value for name, value in choice.items() if name != "name"} | {"type": "auto"}


def _output_config(request: ModelRequest, takes: Traits) -> Body:
    config: Body = {}
    if level := effort(request, takes):
        config["effort"] = level
    if request.output is not None:
        config["format"] = {"type": "json_schema", "schema": to_supported_schema(request.output)}
    return config


def _set_breakpoints(body: Body) -> None:
    """Set cache breakpoints on tools, system, and the last two user turns.

    The API allows four. The older turn is where the previous request set its last one.
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


def _sets_breakpoints(request: ModelRequest, own: Body) -> bool:
    """Whether the spell sets its own cache breakpoints: the API limits their number and order."""
    blocks = [block for message in request.messages for block in message.content]
    blocks += [b for result in blocks if isinstance(result, ToolResult) for b in result.content]
    parts: list[Any] = [own, *(block.data for block in blocks if isinstance(block, Unknown))]
    parts += [part for field in own.values() if isinstance(field, list) for part in field]
    return any("cache_control" in part for part in parts if isinstance(part, dict))
