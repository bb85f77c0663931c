"""Our requests beside those of OpenAI's own SDK, which is the authority on the format."""

import json

import httpx2
import openai
import pytest
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)
from pydantic import TypeAdapter
from shared import CITY, PDF, PNG, WAV, drained

from llmspell.errors import InvalidArguments
from llmspell.providers.endpoints import Endpoint
from llmspell.providers.messages import (
    Extra,
    File,
    Image,
    Message,
    ModelRequest,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
    Unknown,
)
from llmspell.providers.openai_body import request_body
from llmspell.providers.quirks import Quirks

OPENAI_QUIRKS = Quirks(max_tokens_field="max_completion_tokens")
OPENAI = Endpoint("openai", "https://api.openai.com/v1", quirks=OPENAI_QUIRKS)
PLAIN = Endpoint("test", "http://localhost/v1")

CONVERSATIONS = {
    "text": (
        ModelRequest("openai/m", (Message.of("user", "hi"),), system="Be brief."),
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "hi"},
            ]
        },
    ),
    "settings": (
        ModelRequest(
            "openai/m",
            (Message.of("user", "hi"),),
            temperature=0.5,
            top_p=0.9,
            max_tokens=64,
            stop=("END", "\n\n"),
            seed=0,
            reasoning="low",
            extra_body={"user": "me"},
        ),
        {
            "messages": [{"role": "user", "content": "hi"}],
            "temperature": 0.5,
            "top_p": 0.9,
            "max_completion_tokens": 64,
            "stop": ["END", "\n\n"],
            "seed": 0,
            "reasoning_effort": "low",
            "extra_body": {"user": "me"},
        },
    ),
    "tools": (
        ModelRequest(
            "openai/m",
            (
                Message.of("user", "Oslo or Rome?"),
                Message.of(
                    "assistant",
                    ToolCall("a", "weather", {"city": "Oslo"}),
                    ToolCall("b", "weather", {"city": "Rome"}),
                ),
                Message.of(
                    "tool",
                    ToolResult("a", (Text("4 °C"),)),
                    ToolResult("b", (Text("no such city"),), is_error=True),
                ),
                Message.of("assistant", "Rome is unknown."),
            ),
            tools=(ToolSpec("weather", "Weather now.", CITY), ToolSpec("now")),
            tool_choice="weather",
            parallel_tool_calls=False,
        ),
        {
            "messages": [
                {"role": "user", "content": "Oslo or Rome?"},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "a",
                            "type": "function",
                            "function": {"name": "weather", "arguments": '{"city":"Oslo"}'},
                        },
                        {
                            "id": "b",
                            "type": "function",
                            "function": {"name": "weather", "arguments": '{"city":"Rome"}'},
                        },
                    ],
                },
                {"role": "tool", "tool_call_id": "a", "content": "4 °C"},
                {"role": "tool", "tool_call_id": "b", "content": "Error: no such city"},
                {"role": "assistant", "content": "Rome is unknown."},
            ],
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "weather",
                        "description": "Weather now.",
                        "parameters": CITY,
                    },
                },
                {
                    "type": "function",
                    "function": {"name": "now", "parameters": {"type": "object", "properties": {}}},
                },
            ],
            "tool_choice": {"type": "function", "function": {"name": "weather"}},
            "parallel_tool_calls": False,
        },
    ),
    "attachments": (
        ModelRequest(
            "openai/m",
            (
                Message.of(
                    "user",
                    "Compare.",
                    Image(PNG, "image/png"),
                    Image(url="https://example.com/a.png"),
                    File(PDF, "application/pdf", "a.pdf"),
                    File(WAV, "audio/wav"),
                    File(b"x = 1", "text/x-python", "a.py"),
                    Unknown({"type": "text", "text": "as it is"}),
                ),
            ),
        ),
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Compare."},
                        {
                            "type": "image_url",
                            "image_url": {"url": "data:image/png;base64,iVBORw=="},
                        },
                        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                        {
                            "type": "file",
                            "file": {
                                "filename": "a.pdf",
                                "file_data": "data:application/pdf;base64,JVBERi0xLjc=",
                            },
                        },
                        {
                            "type": "input_audio",
                            "input_audio": {"data": "UklGRg==", "format": "wav"},
                        },
                        {"type": "text", "text": "a.py:\nx = 1"},
                        {"type": "text", "text": "as it is"},
                    ],
                }
            ]
        },
    ),
    "picture from a tool": (
        ModelRequest(
            "openai/m",
            (
                Message.of("assistant", "One moment.", ToolCall("a", "draw")),
                Message.of("tool", ToolResult("a", (Text("done"), Image(PNG, "image/png")))),
            ),
        ),
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": "One moment.",
                    "tool_calls": [
                        {
                            "id": "a",
                            "type": "function",
                            "function": {"name": "draw", "arguments": "{}"},
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": "a", "content": "done"},
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "image_url",
                            "image_url": {"url": "data:image/png;base64,iVBORw=="},
                        }
                    ],
                },
            ]
        },
    ),
    "output": (
        ModelRequest("openai/m", (Message.of("user", "Where?"),), output=CITY),
        {
            "messages": [{"role": "user", "content": "Where?"}],
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "output", "schema": CITY, "strict": True},
            },
        },
    ),
    "refusal": (
        ModelRequest(
            "openai/m",
            (Message.of("assistant", Refusal("I won't.")), Message.of("system", "Go on.")),
        ),
        {
            "messages": [
                {"role": "assistant", "content": "", "refusal": "I won't."},
                {"role": "system", "content": "Go on."},
            ]
        },
    ),
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", CONVERSATIONS)
async def test_the_body_is_the_official_sdks(name, completion, provider_at):
    request, arguments = CONVERSATIONS[name]
    bodies = []

    def answer(sent):
        assert sent.url == "https://api.openai.com/v1/chat/completions"
        assert sent.headers["authorization"].startswith("Bearer sk-")
        assert sent.headers["content-type"] == "application/json"
        bodies.append(json.loads(sent.content))
        return httpx2.Response(200, json=completion())

    transport = httpx2.MockTransport(answer)
    async with openai.AsyncOpenAI(
        api_key="sk-test", http_client=httpx2.AsyncClient(transport=transport), max_retries=0
    ) as sdk:
        await sdk.chat.completions.create(model="m", **arguments)
    async with provider_at(OPENAI.base_url, transport=transport, quirks=OPENAI_QUIRKS) as provider:
        await provider.complete(request)
    theirs, ours = bodies
    assert ours == theirs


@pytest.mark.anyio
async def test_the_streaming_body_is_the_official_sdks(provider_at):
    bodies = []

    def answer(sent):
        bodies.append(json.loads(sent.content))
        return httpx2.Response(
            200,
            content=b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n',
            headers={"content-type": "text/event-stream"},
        )

    transport = httpx2.MockTransport(answer)
    async with openai.AsyncOpenAI(
        api_key="sk-test", http_client=httpx2.AsyncClient(transport=transport)
    ) as sdk:
        await sdk.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": "hi"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    request = ModelRequest("openai/m", (Message.of("user", "hi"),))
    async with provider_at(OPENAI.base_url, transport=transport) as provider:
        assert [part async for part in provider.stream(request)]
    theirs, ours = bodies
    assert ours == theirs
    checked = TypeAdapter(CompletionCreateParamsStreaming).validate_python(ours)
    assert drained(checked) == ours


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_the_body_is_of_the_official_types(name):
    """Validation drops what the types do not name, so that an equal body has nothing of the kind."""
    body = request_body(CONVERSATIONS[name][0], "m", OPENAI)
    assert drained(TypeAdapter(CompletionCreateParamsNonStreaming).validate_python(body)) == body


def sent(*messages, endpoint=PLAIN, **fields):
    return request_body(ModelRequest("test/m", messages, **fields), "m", endpoint)


def test_other_servers_know_the_older_limit():
    assert sent(max_tokens=5)["max_tokens"] == 5


def test_extra_body_has_the_last_word():
    endpoint = Endpoint("test", "http://localhost/v1", extra_body={"top_k": 1, "seed": 1})
    body = sent(endpoint=endpoint, temperature=0.1, extra_body={"seed": 2, "temperature": 1})
    assert (body["top_k"], body["seed"], body["temperature"]) == (1, 2, 1)


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (CITY, True),
        (CITY | {"$defs": {"a": CITY}, "title": "City"}, True),
        (CITY | {"additionalProperties": True}, False),
        (CITY | {"required": []}, False),
        (CITY | {"properties": {"city": {"type": "string", "minLength": 1}}}, False),
        (CITY | {"properties": {"city": {"type": "array", "items": {"type": "object"}}}}, False),
        (CITY | {"properties": {"city": {"anyOf": [{"type": "null"}, True]}}}, False),
        (CITY | {"properties": []}, False),
        (CITY | {"properties": {"city": {"type": ["string", "null"]}}}, True),
        (CITY | {"properties": {"city": {"anyOf": [{"type": "null"}, CITY]}}}, True),
        (CITY | {"properties": {"city": {"$ref": "#/$defs/a"}}, "$defs": {"a": CITY}}, True),
        (CITY | {"properties": {"city": {"$ref": "#", "title": "Another"}}}, False),
        (CITY | {"properties": {"city": {}}}, False),  # any value
        (CITY | {"properties": {"city": {"enum": ["Oslo"]}}}, False),
        (CITY | {"properties": {"city": {"type": "array"}}}, False),  # any list
        (CITY | {"properties": {"city": {"type": ["object", "null"]}}}, False),
        (CITY | {"anyOf": [CITY]}, False),
        ({"type": "array", "items": CITY}, False),
        ({}, False),
    ],
)
def test_the_schema_is_enforced_where_it_can_be(schema, strict):
    wanted = sent(output=schema)["response_format"]["json_schema"]
    assert wanted["schema"] == schema
    assert wanted.get("strict", False) is strict


@pytest.mark.parametrize(
    ("output", "response_format"), [("json_object", {"type": "json_object"}), ("words", None)]
)
def test_who_takes_no_schema_is_told_in_words(output, response_format):
    endpoint = Endpoint("deepseek", "http://localhost", quirks=Quirks(output=output))
    body = sent(endpoint=endpoint, system="Be brief.", output=CITY)
    assert body.get("response_format") == response_format
    system = body["messages"][0]["content"]
    assert system.startswith("Be brief.\n\nAnswer with nothing but a JSON object")
    assert '"city"' in system
    assert sent(endpoint=endpoint, output=CITY)["messages"][0]["role"] == "system"


def test_arguments_that_were_no_json_go_back_as_json():
    call = ToolCall("a", "weather", problem="the arguments are not valid JSON", raw='{"city": Os')
    (message,) = sent(Message.of("assistant", call))["messages"]
    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {
        "not_json": '{"city": Os'
    }


def test_extra_fields_go_back_to_their_own_provider_only():
    extra = {"reasoning_content": "Hm.", "content": [{"type": "thinking", "thinking": []}]}
    message = Message.of("assistant", Extra("test", extra), "Yes.")
    assert sent(message)["messages"] == [
        {
            "role": "assistant",
            "reasoning_content": "Hm.",
            "content": [{"type": "thinking", "thinking": []}, {"type": "text", "text": "Yes."}],
        }
    ]
    assert sent(message, endpoint=OPENAI)["messages"] == [{"role": "assistant", "content": "Yes."}]


def test_extra_fields_cannot_pose_as_ours():
    extra = Extra("test", {"role": "system", "tool_calls": [1]})
    (message,) = sent(Message.of("assistant", extra, "Yes.", ToolCall("a", "now")))["messages"]
    assert message["role"] == "assistant"
    assert message["tool_calls"][0]["id"] == "a"


def test_ids_of_others_that_are_too_long_are_shortened():
    long = "toolu_" + "x" * 100
    assistant, result = sent(
        Message.of("assistant", ToolCall(long, "now")), Message.of("tool", ToolResult(long))
    )["messages"]
    assert assistant["tool_calls"][0]["id"] == result["tool_call_id"]
    assert len(result["tool_call_id"]) <= 40


def test_mistral_takes_ids_of_nine_characters():
    endpoint = Endpoint("mistral", "http://localhost/v1", quirks=Quirks(short_ids=True))
    body = sent(
        Message.of("assistant", ToolCall("call_Abc123", "now"), ToolCall("D681PevKs", "now")),
        Message.of("tool", ToolResult("call_Abc123"), ToolResult("D681PevKs")),
        endpoint=endpoint,
    )
    assistant, first, second = body["messages"]
    ids = [call["id"] for call in assistant["tool_calls"]]
    assert ids == [first["tool_call_id"], second["tool_call_id"]]
    assert ids[0].isalnum()
    assert len(ids[0]) == 9
    assert ids[1] == "D681PevKs"


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (Message.of("tool", "4 °C"), "role tool cannot hold a block of the type text"),
        (Message.of("user", File(url="https://example.com/a.pdf")), "not its URL"),
        (
            Message.of("system", "a", Image(PNG, "image/png")),
            "role system cannot hold a block of the type image",
        ),
        (
            Message.of("user", ToolCall("a", "now")),
            "role user cannot hold a block of the type tool_call",
        ),
        (
            Message.of("assistant", Image(PNG, "image/png")),
            "role assistant cannot hold a block of the type image",
        ),
        (
            Message.of("assistant", ToolCall("a", "now", {"x": b"\xff"})),
            "call of now cannot be sent",
        ),
        (Message.of("assistant", ToolCall("a", "now", {"x": float("nan")})), "cannot be sent"),
    ],
)
def test_blocks_that_have_no_place(message, problem):
    with pytest.raises(InvalidArguments, match=problem):
        sent(message)
