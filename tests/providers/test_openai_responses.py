"""OpenAI's Responses: requests beside those of the SDK, and whole answers as it reads them."""

import json

import httpx2
import openai
import pytest
from openai.types.responses.response_create_params import (
    ResponseCreateParamsNonStreaming,
    ResponseCreateParamsStreaming,
)
from pydantic import TypeAdapter
from shared import CITY, PDF, PNG

from llmspell.errors import InvalidArguments, ProviderError
from llmspell.providers.deserialization import response_from_plain
from llmspell.providers.endpoints import Endpoint
from llmspell.providers.messages import (
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
    Usage,
)
from llmspell.providers.openai_responses import OpenAIResponses
from llmspell.providers.openai_responses_answer import response_from
from llmspell.providers.openai_responses_body import request_body
from llmspell.providers.quirks import Quirks

OPENAI = Endpoint(
    "openai", "https://api.openai.com/v1", key="sk-test-1234567890", kind="openai-responses"
)
REQUEST = ModelRequest("openai/gpt", (Message.of("user", "hi"),))

KEPT = {"store": False, "include": ["reasoning.encrypted_content"]}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
SEARCH = {
    "type": "web_search_call",
    "id": "ws_1",
    "status": "completed",
    "action": {"type": "search"},
}

CONVERSATIONS = {
    "text": (
        ModelRequest("openai/m", (Message.of("user", "hi"),), system="Be brief."),
        {"instructions": "Be brief.", "input": [{"role": "user", "content": "hi"}]},
    ),
    "settings": (
        ModelRequest(
            "openai/m",
            (Message.of("system", "Go on."),),
            temperature=0.5,
            top_p=0.9,
            max_tokens=64,
            seed=7,
            reasoning=5000,
            output=CITY,
            extra_body={"user": "me"},
        ),
        {
            "input": [{"role": "system", "content": "Go on."}],
            "temperature": 0.5,
            "top_p": 0.9,
            "max_output_tokens": 64,
            "reasoning": {"effort": "medium"},
            "text": {
                "format": {"type": "json_schema", "name": "output", "schema": CITY, "strict": True}
            },
            "user": "me",
        },
    ),
    "tools": (
        ModelRequest(
            "openai/m",
            (
                Message.of("user", "Oslo or Rome?"),
                Message.of(
                    "assistant",
                    Reasoning("openai", "", THOUGHT),
                    Extra("openai", {"type": "message", "phase": "commentary"}),
                    "One moment.",
                    ToolCall("a", "weather", {"city": "Oslo"}),
                    Extra("openai", {"type": "function_call", "namespace": "n"}),
                    ToolCall("b", "weather", {"city": "Rome"}),
                    Extra("openai", SEARCH),
                ),
                Message.of(
                    "tool",
                    ToolResult("a", (Text("4 °C"),)),
                    ToolResult("b", (Text("no such city"),), is_error=True),
                ),
                Message.of("assistant", "Rome is ", "unknown."),
            ),
            tools=(ToolSpec("weather", "Weather now.", CITY), ToolSpec("now")),
            tool_choice="weather",
            parallel_tool_calls=False,
        ),
        {
            "input": [
                {"role": "user", "content": "Oslo or Rome?"},
                THOUGHT,
                {
                    "type": "message",
                    "role": "assistant",
                    "phase": "commentary",
                    "content": "One moment.",
                },
                {
                    "type": "function_call",
                    "call_id": "a",
                    "name": "weather",
                    "arguments": '{"city":"Oslo"}',
                },
                {
                    "type": "function_call",
                    "call_id": "b",
                    "name": "weather",
                    "arguments": '{"city":"Rome"}',
                    "namespace": "n",
                },
                SEARCH,
                {"type": "function_call_output", "call_id": "a", "output": "4 °C"},
                {"type": "function_call_output", "call_id": "b", "output": "Error: no such city"},
                {"type": "message", "role": "assistant", "content": "Rome is unknown."},
            ],
            "tools": [
                {
                    "type": "function",
                    "name": "weather",
                    "description": "Weather now.",
                    "parameters": CITY,
                    "strict": False,
                },
                {
                    "type": "function",
                    "name": "now",
                    "parameters": {"type": "object", "properties": {}},
                    "strict": False,
                },
            ],
            "tool_choice": {"type": "function", "name": "weather"},
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
                    File(b"x = 1", "text/x-python", "a.py"),
                    Unknown({"type": "input_text", "text": "as it is"}),
                ),
            ),
        ),
        {
            "input": [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "Compare."},
                        {
                            "type": "input_image",
                            "detail": "auto",
                            "image_url": "data:image/png;base64,iVBORw==",
                        },
                        {
                            "type": "input_image",
                            "detail": "auto",
                            "image_url": "https://example.com/a.png",
                        },
                        {
                            "type": "input_file",
                            "filename": "a.pdf",
                            "file_data": "data:application/pdf;base64,JVBERi0xLjc=",
                        },
                        {"type": "input_text", "text": "a.py:\nx = 1"},
                        {"type": "input_text", "text": "as it is"},
                    ],
                }
            ]
        },
    ),
    "pictures from a tool": (
        ModelRequest(
            "openai/m",
            (
                Message.of("assistant", ToolCall("a", "draw"), ToolCall("b", "draw")),
                Message.of(
                    "tool",
                    ToolResult("a", (Text("done"), Image(PNG, "image/png"))),
                    ToolResult("b", (Image(PNG, "image/png"),), is_error=True),
                ),
            ),
        ),
        {
            "input": [
                {"type": "function_call", "call_id": "a", "name": "draw", "arguments": "{}"},
                {"type": "function_call", "call_id": "b", "name": "draw", "arguments": "{}"},
                {
                    "type": "function_call_output",
                    "call_id": "a",
                    "output": [
                        {"type": "input_text", "text": "done"},
                        {
                            "type": "input_image",
                            "detail": "auto",
                            "image_url": "data:image/png;base64,iVBORw==",
                        },
                    ],
                },
                {
                    "type": "function_call_output",
                    "call_id": "b",
                    "output": [
                        {"type": "input_text", "text": "Error:"},
                        {
                            "type": "input_image",
                            "detail": "auto",
                            "image_url": "data:image/png;base64,iVBORw==",
                        },
                    ],
                },
            ]
        },
    ),
}


def answered(*output, **fields):
    """A response as api.openai.com sends it."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1790000000,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": "gpt-5.4-mini-2026-03-17",
        "output": list(output),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 19,
            "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 3},
            "output_tokens": 10,
            "output_tokens_details": {"reasoning_tokens": 4},
            "total_tokens": 29,
        },
    } | fields


def said(*texts, **fields):
    parts = [{"type": "output_text", "text": t, "annotations": [], "logprobs": []} for t in texts]
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": parts,
    } | fields


def call(name, arguments, **fields):
    return {
        "id": "fc_1",
        "type": "function_call",
        "status": "completed",
        "call_id": "call_1",
        "name": name,
        "arguments": arguments,
    } | fields


async def both_bodies(request, arguments, **options):
    """What the SDK sends, and what we send."""
    bodies = []

    def answer(sent):
        assert sent.url == "https://api.openai.com/v1/responses"
        assert sent.headers["authorization"].startswith("Bearer sk-")
        bodies.append(json.loads(sent.content))
        if bodies[-1].get("stream"):
            event = {"type": "response.completed", "response": answered(), "sequence_number": 1}
            content = f"event: response.completed\ndata: {json.dumps(event)}\n\n".encode()
            headers = {"content-type": "text/event-stream"}
            return httpx2.Response(200, content=content, headers=headers)
        return httpx2.Response(200, json=answered())

    transport = httpx2.MockTransport(answer)
    async with openai.AsyncOpenAI(
        api_key="sk-test", http_client=httpx2.AsyncClient(transport=transport), max_retries=0
    ) as sdk:
        await sdk.responses.create(model="m", **KEPT, **arguments, **options)
    provider = OpenAIResponses(OPENAI, transport=transport)
    if options.get("stream"):
        assert [part async for part in provider.stream(request)]
    else:
        await provider.complete(request)
    await provider.close()
    return bodies


@pytest.mark.anyio
@pytest.mark.parametrize("options", [{}, {"stream": True}], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", CONVERSATIONS)
async def test_the_body_is_the_official_sdks(name, options):
    theirs, ours = await both_bodies(*CONVERSATIONS[name], **options)
    assert ours == theirs


OFFICIAL = TypeAdapter(ResponseCreateParamsNonStreaming)


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_the_body_is_of_the_official_types(name):
    body = request_body(CONVERSATIONS[name][0], "m", OPENAI)
    OFFICIAL.validate_python(body)
    TypeAdapter(ResponseCreateParamsStreaming).validate_python(body | {"stream": True})


def sent(*messages, endpoint=OPENAI, model="m", **fields):
    return request_body(ModelRequest("openai/m", messages, **fields), model, endpoint)


def test_the_schema_is_enforced_where_it_can_be():
    wanted = sent(output=CITY | {"additionalProperties": True})["text"]["format"]
    assert "strict" not in wanted


@pytest.mark.parametrize(
    ("output", "text"), [("json_object", {"format": {"type": "json_object"}}), ("words", None)]
)
def test_who_takes_no_schema_is_told_in_words(output, text):
    endpoint = Endpoint("x", "http://x", quirks=Quirks(output=output))
    body = sent(endpoint=endpoint, system="Be brief.", output=CITY)
    assert body.get("text") == text
    assert body["instructions"].startswith("Be brief.\n\nAnswer with nothing but a JSON object")


@pytest.mark.parametrize(("model", "asked"), [("gpt-5.4-mini", True), ("gpt-4.1-mini", False)])
def test_models_that_do_not_reason_are_not_asked_what_they_thought(model, asked):
    assert ("include" in sent(model=model)) is asked


def test_extra_body_has_the_last_word():
    endpoint = Endpoint("openai", "http://x", extra_body={"store": True, "truncation": "auto"})
    body = sent(endpoint=endpoint, temperature=0.1, extra_body={"temperature": 1})
    assert (body["store"], body["truncation"], body["temperature"]) == (True, "auto", 1)


def test_reasoning_the_server_did_not_keep_is_sent_only_if_it_tells():
    hidden = {"type": "reasoning", "id": "rs_1", "summary": []}
    open_ = hidden | {"content": [{"type": "reasoning_text", "text": "Hm."}]}
    messages = [Message.of("assistant", Reasoning("openai", "", data)) for data in (hidden, open_)]
    assert sent(*messages)["input"] == [open_]
    assert sent(*messages, extra_body={"store": True})["input"] == [hidden, open_]


def test_what_another_provider_or_protocol_said_is_left_out():
    message = Message.of(
        "assistant",
        Reasoning("anthropic", "Hm.", {"type": "thinking", "signature": "s"}),
        Reasoning("openai", "Hm.", {"field": "reasoning"}),
        Extra("openai", {"annotations": []}),
        Extra("groq", SEARCH),
        "Yes.",
        Refusal(" No."),
        Unknown({"type": "mcp_approval_response", "approve": True}),
    )
    assert sent(message)["input"] == [
        {"type": "message", "role": "assistant", "content": "Yes. No."},
        {"type": "mcp_approval_response", "approve": True},
    ]


def test_what_stands_before_nothing_is_lost_with_it():
    """A hook may have taken out what it belonged to."""
    phase = Extra("openai", {"type": "message", "phase": "commentary"})
    message = Message.of("assistant", phase, ToolCall("a", "now"), "Yes.")
    function, text = sent(message)["input"]
    assert "phase" not in function
    assert "phase" not in text


def test_arguments_that_were_no_json_go_back_as_json():
    call = ToolCall("a", "weather", problem="not JSON", raw='{"city": Os')
    (item,) = sent(Message.of("assistant", call))["input"]
    assert json.loads(item["arguments"]) == {"not_json": '{"city": Os'}


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (Message.of("tool", "4 °C"), "role tool cannot hold a block of the type text"),
        (Message.of("system", Image(PNG, "image/png")), "role system cannot hold a block of the"),
        (Message.of("user", ToolCall("a", "now")), "role user cannot hold a block of the"),
        (Message.of("user", ToolResult("a")), "role user cannot hold a block of the"),
        (Message.of("assistant", Image(PNG, "image/png")), "role assistant cannot hold"),
        (Message.of("user", File(b"RIFF", "audio/wav")), "has no recordings"),
    ],
)
def test_blocks_that_have_no_place(message, problem):
    with pytest.raises(InvalidArguments, match=problem):
        sent(message)


def test_what_only_chat_completions_have_is_refused_with_a_way_out():
    with pytest.raises(InvalidArguments, match="openai-responses has no stop") as caught:
        sent(stop=("END",))
    assert caught.value.hint == 'chat completions do: set kind = "openai" in [providers.openai]'


def test_ids_of_others_that_are_too_long_are_shortened():
    long = "toolu_" + "x" * 100
    function, result = sent(
        Message.of("assistant", ToolCall(long, "now")), Message.of("tool", ToolResult(long))
    )["input"]
    assert function["call_id"] == result["call_id"]
    assert len(result["call_id"]) <= 64


def test_only_the_chosen_tool_is_offered_where_it_cannot_be_named():
    endpoint = Endpoint("x", "http://x", quirks=Quirks(named_choice=False))
    tools = (ToolSpec("now"), ToolSpec("later"))
    body = sent(endpoint=endpoint, tools=tools, tool_choice="later")
    assert [tool["name"] for tool in body["tools"]] == ["later"]
    assert body["tool_choice"] == "required"


def read(data, request=REQUEST):
    return response_from(data, request, OPENAI)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "data",
    [
        answered(said("Hello.")),
        answered(said("Hel", "lo.")),
        answered(said("Wait.", phase="commentary"), said("Hello.", phase="final_answer")),
        answered(THOUGHT, call("weather", '{"city":"Oslo"}'), call("now", "", call_id="b")),
        answered(said(content=[{"type": "refusal", "refusal": "I'm sorry."}])),
        answered(
            said("Half an ans"),
            status="incomplete",
            incomplete_details={"reason": "max_output_tokens"},
        ),
        answered(THOUGHT | {"summary": [{"type": "summary_text", "text": "Hm."}]}, SEARCH),
    ],
)
async def test_we_read_what_the_official_sdk_reads(data):
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=data))
    async with openai.AsyncOpenAI(
        api_key="sk-test",
        http_client=httpx2.AsyncClient(transport=transport),
        _strict_response_validation=True,
    ) as sdk:
        theirs = await sdk.responses.create(model="gpt", input="hi")
    ours = read(data)
    assert ours.message.text == theirs.output_text
    assert [(c.id, c.name, c.arguments) for c in ours.message.tool_calls] == [
        (i.call_id, i.name, json.loads(i.arguments or "{}"))
        for i in theirs.output
        if i.type == "function_call"
    ]
    assert ours.usage == Usage(19, 10, 8, 4, 3)
    assert (ours.id, ours.model) == (theirs.id, f"openai/{theirs.model}")
    assert response_from_plain(ours.as_plain()) == ours
    again = sent(ours.message)
    OFFICIAL.validate_python(again)


def test_a_turn_goes_back_as_it_came():
    output = [
        THOUGHT,
        said("Wait.", phase="commentary"),
        SEARCH,
        call("weather", '{"city":"Oslo"}', namespace="n"),
        {"type": "hologram", "id": "h_1", "beam": 1},
    ]
    message = read(answered(*output)).message
    assert message.content == (
        Reasoning("openai", "", THOUGHT),
        Extra("openai", {"type": "message", "phase": "commentary"}),
        Text("Wait."),
        Extra("openai", SEARCH),
        Extra("openai", {"type": "function_call", "namespace": "n"}),
        ToolCall("call_1", "weather", {"city": "Oslo"}),
        Extra("openai", {"type": "hologram", "id": "h_1", "beam": 1}),
    )
    thought, text, search, function, hologram = sent(message)["input"]
    assert (thought, search, hologram) == (THOUGHT, SEARCH, output[-1])
    assert (text["content"], text["phase"]) == ("Wait.", "commentary")
    assert (function["call_id"], function["namespace"]) == ("call_1", "n")


def test_citations_are_kept_but_not_said_again():
    citation = {"type": "url_citation", "url": "https://example.com"}
    part = {"type": "output_text", "text": "Yes.", "annotations": [citation]}
    message = read(answered(said(content=[part]))).message
    about = Extra("openai", {"type": "message", "annotations": [citation]})
    assert message.content == (about, Text("Yes."))
    assert sent(message)["input"] == [{"type": "message", "role": "assistant", "content": "Yes."}]


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (THOUGHT, ""),
        (
            {**THOUGHT, "summary": [{"type": "summary_text", "text": t} for t in ("a", "b")]},
            "a\n\nb",
        ),
        ({**THOUGHT, "content": [{"type": "reasoning_text", "text": "c"}]}, "c"),
    ],
)
def test_what_can_be_read_of_reasoning(item, text):
    assert read(answered(item)).message.reasoning == text


@pytest.mark.parametrize(
    ("fields", "output", "meant"),
    [
        ({}, [said("Hi.")], "stop"),
        ({}, [call("now", "{}")], "tool_calls"),
        ({"status": None}, [said("Hi.")], "stop"),
        ({"incomplete_details": {"reason": "max_output_tokens"}}, [], "length"),
        ({"incomplete_details": {"reason": "content_filter"}}, [], "content_filter"),
        ({"incomplete_details": {"reason": "steered"}}, [call("now", "{}")], "steered"),
        ({"incomplete_details": None}, [], "length"),
    ],
)
def test_finish_reasons(fields, output, meant):
    status = {"status": "incomplete"} if "incomplete_details" in fields else {}
    assert read(answered(*output, **status, **fields)).finish_reason == meant


def test_calls_without_ids_or_with_doubled_ones_can_be_answered():
    calls = [call("a", "{}", call_id=None), call("b", "{}"), call("c", "{}")]
    ids = [c.id for c in read(answered(*calls)).message.tool_calls]
    assert ids == ["call00001", "call_1", "call00003"]


@pytest.mark.parametrize(
    ("data", "problem", "retryable"),
    [
        ({}, "the answer has no output", True),
        ({"output": "hi"}, "the answer has no output", True),
        ({"output": ["hi"]}, "holds something that is not an item", True),
        (answered(status="queued"), "the answer is queued", False),
        (answered(error={"code": "server_error", "message": "oops"}), "oops", True),
        (answered(error={"code": "rate_limit_exceeded", "message": "slow"}), "slow", True),
        (answered(error={"code": "invalid_prompt", "message": "no"}), "no", False),
    ],
)
def test_what_is_no_answer(data, problem, retryable):
    with pytest.raises(ProviderError, match=problem) as caught:
        read(data)
    assert caught.value.retryable is retryable


def test_words_after_a_message_of_the_spells_own_are_another():
    own = {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "As it is.", "annotations": []}],
    }
    crafted = Extra("openai", {"type": "message", "content": [], "phase": "final_answer"})
    said = Message.of("assistant", Unknown(own), "And more.", crafted, "The end.")
    body = request_body(ModelRequest("openai/gpt", (said,)), "gpt", OPENAI)
    more = {"type": "message", "role": "assistant", "content": "And more."}
    end = more | {"content": "The end.", "phase": "final_answer"}
    assert body["input"] == [own, more, end]
