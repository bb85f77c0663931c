"""Builds request bodies for OpenAI's Responses API.

Source of the format: `openai.types.responses.response_create_params` of the official Python SDK.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from llmspell.errors import InvalidArguments
from llmspell.providers.body_parts import (
    call_arguments,
    call_id,
    call_name,
    data_url,
    file_as_text,
    misplaced,
)
from llmspell.providers.messages import (
    Block,
    Extra,
    File,
    Image,
    Message,
    ModelRequest,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
    Unknown,
)
from llmspell.providers.openai_body import enforceable, offered, system_text
from llmspell.providers.openai_reasoning import effort

if TYPE_CHECKING:
    from llmspell.providers.endpoints import Endpoint
    from llmspell.providers.quirks import Quirks

Body = dict[str, Any]

_LONGEST_ID = 64  # characters
_DO_NOT_REASON = ("gpt-3", "gpt-4", "chatgpt-")
"""Prefixes of models that reject a request for their reasoning."""


def request_body(request: ModelRequest, model: str, endpoint: Endpoint) -> Body:
    """Return the JSON body to post. `model` is the request's, without the provider's name.

    The protocol has no seed, so none is sent.

    Raises:
        InvalidArguments: A message contains a block that its role does not allow, or the request
            uses something that only chat completions support.
    """
    if request.stop:
        raise _only_in_chat("stop", endpoint)
    own = {**endpoint.extra_body, **request.extra_body}
    body: Body = {"model": model, "store": False}
    if not model.startswith(_DO_NOT_REASON):
        body["include"] = ["reasoning.encrypted_content"]
    if system := system_text(request, endpoint.quirks):
        body["instructions"] = system
    kept = bool(own.get("store"))
    body["input"] = [i for m in request.messages for i in _items(m, endpoint, kept=kept)]
    if request.tools:
        body |= _tools(request, endpoint.quirks)
    if request.output is not None:
        body |= _output(request.output, endpoint.quirks)
    named = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "max_output_tokens": request.max_tokens,
    }
    body |= {name: value for name, value in named.items() if value is not None}
    if request.reasoning is not None:
        body["reasoning"] = {"effort": effort(request.reasoning)}
    return body | own


def _output(schema: Body, quirks: Quirks) -> Body:
    if quirks.output == "words":
        return {}
    if quirks.output == "json_object":
        return {"text": {"format": {"type": "json_object"}}}
    wanted: Body = {"type": "json_schema", "name": "output", "schema": schema}
    if enforceable(schema):
        wanted["strict"] = True
    return {"text": {"format": wanted}}


def _only_in_chat(what: str, endpoint: Endpoint) -> InvalidArguments:
    return InvalidArguments(
        "model.request",
        [f"the protocol {endpoint.kind} has no {what}"],
        hint=f'chat completions do: set kind = "openai" in [providers.{endpoint.name}]',
    )


def _tools(request: ModelRequest, quirks: Quirks) -> Body:
    tools, choice = offered(request, quirks)
    body: Body = {"tools": [_tool(tool) for tool in tools]}
    if choice in ("auto", "none", "required"):
        body["tool_choice"] = choice
    elif choice is not None:
        body["tool_choice"] = {"type": "function", "name": choice}
    if request.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = request.parallel_tool_calls
    return body


def _tool(tool: ToolSpec) -> Body:
    # `strict` is on by default, and supports only a subset of JSON Schema.
    described = {"description": tool.description} if tool.description else {}
    function: Body = {"type": "function", "name": tool.name, **described}
    return function | {"parameters": tool.schema, "strict": False}


def _items(message: Message, endpoint: Endpoint, *, kept: bool) -> Iterable[Body]:
    """Return the input items of a message; `kept` is whether the server stores its responses."""
    if message.role == "assistant":
        return _assistant_items(message, endpoint, kept=kept)
    if message.role == "tool":
        return [_result(block, endpoint) for block in message.content]
    for block in message.content:
        if isinstance(block, ToolResult) or (
            message.role == "system" and not isinstance(block, Text)
        ):
            raise misplaced(block, message.role)
    content = message.content
    one_text = len(content) <= 1 and all(isinstance(block, Text) for block in content)
    if one_text or message.role == "system":
        return ({"role": message.role, "content": message.text},)
    return ({"role": message.role, "content": [_part(b, message.role, endpoint) for b in content]},)


def _result(block: Block, endpoint: Endpoint) -> Body:
    if not isinstance(block, ToolResult):
        raise misplaced(block, "tool")
    output: Any = [_part(inner, "tool", endpoint) for inner in block.content]
    if all(isinstance(inner, Text) for inner in block.content):
        output = "".join([part["text"] for part in output])
        output = f"Error: {output}" if block.is_error else output
    elif block.is_error:
        output.insert(0, {"type": "input_text", "text": "Error:"})
    return {
        "type": "function_call_output",
        "call_id": call_id(block.id, _LONGEST_ID),
        "output": output,
    }


def _part(block: Block, role: str, endpoint: Endpoint) -> Body:
    if isinstance(block, Text):
        return {"type": "input_text", "text": block.text}
    if isinstance(block, Image):
        url = block.url or data_url(block.data, block.media_type)
        return {"type": "input_image", "detail": "auto", "image_url": url}
    if isinstance(block, File):
        return _file(block, endpoint)
    if isinstance(block, Unknown):
        return block.data
    raise misplaced(block, role)


def _file(file: File, endpoint: Endpoint) -> Body:
    if (text := file_as_text(file)) is not None:
        return {"type": "input_text", "text": text}
    if (file.media_type or "").startswith("audio/"):
        raise _only_in_chat("recordings", endpoint)
    if file.url is not None:
        return {"type": "input_file", "file_url": file.url}
    data = data_url(file.data, file.media_type)
    return {"type": "input_file", "filename": file.name, "file_data": data}


def _assistant_items(message: Message, endpoint: Endpoint, *, kept: bool) -> list[Body]:
    """Return an assistant turn's items in their original order; see `openai_responses_answer`."""
    items: list[Body] = []
    about: Body = {}  # extra fields of the next item
    for block in message.content:
        if isinstance(block, (Text, Refusal)):
            if about.get("type") == "message" or not _ends_with_message(items):
                empty: Body = {"type": "message", "role": "assistant", "content": ""}
                items.append(empty | about | {"role": "assistant", "content": ""})
            items[-1] = items[-1] | {"content": items[-1]["content"] + block.text}
        elif isinstance(block, ToolCall):
            items.append(_call(block) | (about if about.get("type") == "function_call" else {}))
        elif isinstance(block, Unknown):
            items.append(block.data)
        elif not isinstance(block, (Reasoning, Extra)):
            raise misplaced(block, "assistant")
        elif block.provider == endpoint.name and "type" in block.data:
            if block.data["type"] in ("message", "function_call"):
                about = {n: v for n, v in block.data.items() if n != "annotations"}
                continue
            # The server looks such an item up by its id, and fails if it was not stored.
            if kept or isinstance(block, Extra) or _is_self_contained(block.data):
                items.append(block.data)
        about = {}
    return items


def _ends_with_message(items: list[Body]) -> bool:
    """Whether the last item is an assistant message that more text can be appended to."""
    last = items[-1] if items else {}
    return last.get("role") == "assistant" and isinstance(last.get("content"), str)


def _is_self_contained(reasoning: Body) -> bool:
    return bool(reasoning.get("encrypted_content") or reasoning.get("content"))


def _call(call: ToolCall) -> Body:
    arguments = call_arguments(call)
    return {
        "type": "function_call",
        "call_id": call_id(call.id, _LONGEST_ID),
        "name": call_name(call),
        "arguments": arguments,
    }
