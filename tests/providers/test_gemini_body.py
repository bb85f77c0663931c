"""Our requests beside those of Google's own SDK, which is the authority on the format."""

import base64
import json
import re

import httpx2
import pytest
from conversations import conversations
from google import genai
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st
from shared import CITY, PDF, PNG, WAV

from llmspell.errors import InvalidArguments, ProviderError
from llmspell.providers.endpoints import Endpoint
from llmspell.providers.gemini import Gemini
from llmspell.providers.gemini_body import request_body
from llmspell.providers.gemini_schema import accepted
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
)
from llmspell.testing.fakes import FakeServer

GOOGLE = Endpoint("google", "https://generativelanguage.googleapis.com", "GEMINI_API_KEY", "key")
FLASH, OLD, PRO = "gemini-3.8-flash", "gemini-2.5-flash", "gemini-2.5-pro"

HI = Message.of("user", "hi")
SIGNATURE = base64.b64encode(b"thought").decode()


def user(*parts):
    return {"role": "user", "parts": list(parts)}


def inline(data, mime_type):
    return {"inline_data": {"data": data, "mime_type": mime_type}}


def request(*messages, model=FLASH, **fields):
    return ModelRequest(f"google/{model}", messages or (HI,), **fields)


def sent(*messages, model=FLASH, endpoint=GOOGLE, **fields):
    return request_body(request(*messages, model=model, **fields), model, endpoint)


CONVERSATIONS = {
    "text": (
        request(
            system="Be brief.",
            temperature=0,
            top_p=0.9,
            max_tokens=64,
            stop=("END",),
            seed=7,
            reasoning="low",
        ),
        [user({"text": "hi"})],
        {
            "system_instruction": "Be brief.",
            "temperature": 0,
            "top_p": 0.9,
            "max_output_tokens": 64,
            "stop_sequences": ["END"],
            "seed": 7,
            "thinking_config": {"thinking_level": "LOW", "include_thoughts": True},
        },
    ),
    "system messages": (
        request(
            Message.of("system", "Be brief."),
            HI,
            Message.of("system", "Now in French."),
            system="Ada.",
        ),
        [user({"text": "hi"}), user({"text": "<system>\nNow in French.\n</system>"})],
        {"system_instruction": {"parts": [{"text": "Ada."}, {"text": "Be brief."}]}},
    ),
    "tools": (
        request(
            Message.of("user", "Oslo or Rome?"),
            Message.of(
                "assistant",
                Reasoning("google", "Hm."),
                "One moment.",
                Extra("google", {"thoughtSignature": SIGNATURE}),
                ToolCall("a", "weather", {"city": "Oslo"}),
                ToolCall("b", "weather", {"city": "Rome"}),
            ),
            Message.of(
                "tool",
                ToolResult("a", (Text("4 °C"), Image(PNG, "image/png"))),
                ToolResult("b", (Text("no such city"), File(WAV, "audio/wav")), is_error=True),
                Text("And?"),
            ),
            tools=(ToolSpec("weather", "Weather now.", CITY), ToolSpec("now")),
            tool_choice="weather",
        ),
        [
            user({"text": "Oslo or Rome?"}),
            {
                "role": "model",
                "parts": [
                    {"text": "Hm.", "thought": True},
                    {"text": "One moment."},
                    {
                        "function_call": {"id": "a", "name": "weather", "args": {"city": "Oslo"}},
                        "thought_signature": b"thought",
                    },
                    {"function_call": {"id": "b", "name": "weather", "args": {"city": "Rome"}}},
                ],
            },
            user(
                {
                    "function_response": {
                        "id": "a",
                        "name": "weather",
                        "response": {"output": "4 °C"},
                        "parts": [inline(PNG, "image/png")],
                    }
                },
                {
                    "function_response": {
                        "id": "b",
                        "name": "weather",
                        "response": {"error": "no such city"},
                    }
                },
            ),
            user(inline(WAV, "audio/wav"), {"text": "And?"}),
        ],
        {
            "tools": [
                {
                    "function_declarations": [
                        {
                            "name": "weather",
                            "description": "Weather now.",
                            "parameters_json_schema": CITY,
                        },
                        {"name": "now"},
                    ]
                }
            ],
            "tool_config": {
                "function_calling_config": {"mode": "ANY", "allowed_function_names": ["weather"]}
            },
        },
    ),
    "attachments": (
        request(
            Message.of(
                "user",
                "Compare.",
                Image(PNG, "image/png"),
                Image(url="https://example.com/a.png"),
                File(PDF, "application/pdf", "a.pdf"),
                File(url="gs://bucket/b.pdf", media_type="application/pdf"),
                Unknown({"text": "as it is"}),
            ),
        ),
        [
            user(
                {"text": "Compare."},
                inline(PNG, "image/png"),
                {"file_data": {"file_uri": "https://example.com/a.png", "mime_type": "image/png"}},
                inline(PDF, "application/pdf"),
                {"file_data": {"file_uri": "gs://bucket/b.pdf", "mime_type": "application/pdf"}},
                {"text": "as it is"},
            )
        ],
        {},
    ),
    "output": (
        request(output=CITY, tools=(ToolSpec("now"),), tool_choice="none"),
        [user({"text": "hi"})],
        {
            "response_mime_type": "application/json",
            "response_json_schema": CITY,
            "tools": [{"function_declarations": [{"name": "now"}]}],
            "tool_config": {"function_calling_config": {"mode": "NONE"}},
        },
    ),
    "a budget": (
        request(model=OLD, reasoning=2000),
        [user({"text": "hi"})],
        {"thinking_config": {"thinking_budget": 2000, "include_thoughts": True}},
    ),
}


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", CONVERSATIONS)
async def test_the_request_is_the_official_sdks(name, stream):
    request, contents, config = CONVERSATIONS[name]
    requests = []

    def answer(sent):
        requests.append(sent)
        return httpx2.Response(400, json={"error": {"code": 400, "message": "No."}})

    transport = httpx2.MockTransport(answer)
    model = request.model.removeprefix("google/")
    async with httpx2.AsyncClient(transport=transport) as client:
        options = {"httpx_async_client": client, "api_version": "v1beta"}
        sdk = genai.Client(api_key="key", http_options=options)
        ask = {"model": model, "contents": contents, "config": config}
        with pytest.raises(genai.errors.ClientError):
            await (first_of(sdk, ask) if stream else sdk.aio.models.generate_content(**ask))
    provider = Gemini(GOOGLE, transport=transport)
    asked = anext(provider.stream(request)) if stream else provider.complete(request)
    with pytest.raises(ProviderError, match=r"(?m)^google: No. \(HTTP 400\)$"):
        await asked
    await provider.close()
    theirs, ours = requests
    assert normal(json.loads(ours.content)) == normal(json.loads(theirs.content))
    assert (ours.method, ours.url) == (theirs.method, theirs.url)
    assert ours.headers["x-goog-api-key"] == theirs.headers["x-goog-api-key"] == "key"


async def first_of(sdk, ask):
    return await anext(await sdk.aio.models.generate_content_stream(**ask))


def normal(value):
    """As both may write it: names with underscores, base64 for URLs, who speaks where nobody does."""
    if isinstance(value, list):
        return [normal(item) for item in value]
    if isinstance(value, dict):
        named = {re.sub("_(.)", lambda m: m[1].upper(), n): normal(v) for n, v in value.items()}
        if "systemInstruction" in named:
            named["systemInstruction"].pop("role", None)
        if named.get("generationConfig") == {}:
            del named["generationConfig"]
        return named
    return value.replace("-", "+").replace("_", "/") if isinstance(value, str) else value


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_the_body_is_of_the_official_types(name):
    """The types refuse fields they do not know."""
    request, _, _ = CONVERSATIONS[name]
    body = request_body(request, request.model.removeprefix("google/"), GOOGLE)
    for kind, values in {
        types.Content: [*body["contents"], body.get("systemInstruction", {})],
        types.Tool: body.get("tools", []),
        types.ToolConfig: [body.get("toolConfig", {})],
        types.GenerationConfig: [body.get("generationConfig", {})],
    }.items():
        for value in values:
            kind.model_validate(value)


@pytest.mark.parametrize(
    ("model", "reasoning", "config"),
    [
        (FLASH, None, None),
        (FLASH, "none", {"thinkingLevel": "LOW"}),
        (FLASH, 0, {"thinkingLevel": "LOW"}),
        (FLASH, "minimal", {"includeThoughts": True, "thinkingLevel": "LOW"}),
        (FLASH, "medium", {"includeThoughts": True, "thinkingLevel": "MEDIUM"}),
        (FLASH, "xhigh", {"includeThoughts": True, "thinkingLevel": "HIGH"}),
        (FLASH, 3000, {"includeThoughts": True, "thinkingLevel": "MEDIUM"}),
        (FLASH, 99_000, {"includeThoughts": True, "thinkingLevel": "HIGH"}),
        ("gemini-3.5-flash-lite", "none", {"thinkingLevel": "MINIMAL"}),
        ("gemini-3-pro-preview", "medium", {"includeThoughts": True, "thinkingLevel": "HIGH"}),
        ("gemini-pro-latest", "none", {"thinkingLevel": "LOW"}),
        ("gemini-5-neon", "none", {"thinkingLevel": "LOW"}),
        ("models/gemini-9", "low", {"includeThoughts": True, "thinkingLevel": "LOW"}),
        (OLD, "none", {"thinkingBudget": 0}),
        (OLD, "medium", {"includeThoughts": True, "thinkingBudget": 8192}),
        (PRO, "none", {"thinkingBudget": 128}),
        (PRO, 1, {"includeThoughts": True, "thinkingBudget": 128}),
        ("gemini-2.0-flash", "high", None),
        ("gemma-4-31b", "high", None),
    ],
)
def test_every_model_is_told_in_its_own_way_how_much_to_think(model, reasoning, config):
    body = sent(model=model, reasoning=reasoning)
    assert body.get("generationConfig", {}).get("thinkingConfig") == config


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        (None, None),
        ("auto", {"mode": "AUTO"}),
        ("required", {"mode": "ANY"}),
        ("now", {"mode": "ANY", "allowedFunctionNames": ["now"]}),
    ],
)
def test_tool_choice(choice, config):
    body = sent(tools=(ToolSpec("now"),), tool_choice=choice)
    assert body.get("toolConfig", {}).get("functionCallingConfig") == config
    assert "toolConfig" not in sent(tool_choice=choice)


@pytest.mark.anyio
@pytest.mark.parametrize("model", [OLD, "gemma-4-31b"])
async def test_who_cannot_combine_schema_and_tools_answers_by_a_tool(model):
    server = FakeServer(ToolCall("t", "final_answer", {"city": "Oslo"}))
    provider = Gemini(GOOGLE, transport=server.transport())
    asked = request(model=model, output=CITY, tools=(ToolSpec("now"),))
    response = await provider.complete(asked)
    await provider.close()
    assert response.message.text == '{"city":"Oslo"}'
    body = server.requests[0].json
    assert [tool["name"] for tool in body["tools"][0]["functionDeclarations"]] == [
        "now",
        "final_answer",
    ]
    assert "generationConfig" not in body
    assert sent(model=model, output=CITY)["generationConfig"]["responseJsonSchema"] == CITY


def test_a_url_that_is_none():
    with pytest.raises(InvalidArguments, match=r"http://\[a/b.png is not a URL"):
        sent(Message.of("user", Image(url="http://[a/b.png")))


def test_a_data_url_is_sent_as_what_it_holds():
    png = "data:image/png;base64,iVBORw=="
    (turn,) = sent(Message.of("user", Image(url=png), Image(url="https://a/b")))["contents"]
    assert turn["parts"] == [
        {"inlineData": {"data": "iVBORw==", "mimeType": "image/png"}},
        {"fileData": {"fileUri": "https://a/b"}},
    ]


def test_media_of_a_tool_stands_after_its_result_where_it_must():
    result = ToolResult("a", (Text("done"), Image(PNG, "image/png"), Unknown({"text": "?"})))
    call = Message.of("assistant", ToolCall("a", "draw"))
    *_, results, rest = sent(call, Message.of("tool", result), model=OLD)["contents"]
    assert "parts" not in results["parts"][0]["functionResponse"]
    assert [sorted(part) for part in rest["parts"]] == [["inlineData"], ["text"]]


def test_results_of_a_turn_stand_together():
    calls = Message.of("assistant", ToolCall("a", "now"), ToolCall("b", "now"))
    results = [Message.of("tool", ToolResult(id_)) for id_ in ("a", "b")]
    model, both, rest = sent(calls, *results, HI)["contents"]
    assert [part["functionResponse"]["id"] for part in both["parts"]] == ["a", "b"]
    assert (model["role"], rest["parts"]) == ("model", [{"text": "hi"}])


def test_a_result_whose_call_is_forgotten_has_its_id_for_a_name():
    (turn,) = sent(Message.of("tool", ToolResult("a")))["contents"]
    assert turn["parts"][0]["functionResponse"]["name"] == "a"


def test_calls_of_other_models_are_signed_as_such():
    """Gemini refuses a turn whose first call has no signature."""
    calls = Message.of("assistant", ToolCall("a", "now"), ToolCall("b", "now"))
    first, second = sent(calls)["contents"][0]["parts"]
    assert base64.b64decode(first["thoughtSignature"]) == b"skip_thought_signature_validator"
    assert "thoughtSignature" not in second


def test_signatures_go_back_in_their_place_and_to_google_only():
    ending = {"text": "", "thoughtSignature": SIGNATURE}
    message = Message.of(
        "assistant",
        Reasoning("google", "Hm.", {"thoughtSignature": SIGNATURE}),
        Extra("google", {"thoughtSignature": "c2ln"}),
        "Yes.",
        Extra("google", {"executableCode": {"code": "1"}}),
        Extra("google", ending),
        Extra("google", {"groundingMetadata": {"webSearchQueries": ["x"]}}),
    )
    (turn,) = sent(message)["contents"]
    assert turn["parts"] == [
        {"thought": True, "thoughtSignature": SIGNATURE, "text": "Hm."},
        {"text": "Yes.", "thoughtSignature": "c2ln"},
        {"executableCode": {"code": "1"}},
        ending,
    ]
    other = Endpoint("vertex", "https://a")
    assert sent(message, endpoint=other)["contents"][0]["parts"] == [{"text": "Yes."}]


def test_extra_body_has_the_last_word():
    endpoint = Endpoint("google", "https://a", extra_body={"safetySettings": []})
    body = sent(endpoint=endpoint, temperature=1, extra_body={"generationConfig": {"topK": 3}})
    assert (body["safetySettings"], body["generationConfig"]) == ([], {"topK": 3})


def test_turns_and_texts_with_nothing_in_them_are_left_out():
    body = sent(Message.of("user", "", "hi"), Message.of("assistant", ""), HI)
    assert body["contents"] == [user({"text": "hi"}), user({"text": "hi"})]


def test_a_refusal_is_given_back_as_text():
    (turn,) = sent(Message.of("assistant", Refusal("I won't.")))["contents"]
    assert turn["parts"] == [{"text": "I won't."}]


def test_arguments_that_were_no_json_go_back_as_json():
    call = ToolCall("a", "weather", problem="the arguments are not valid JSON", raw='{"city": Os')
    (turn,) = sent(Message.of("assistant", call))["contents"]
    assert turn["parts"][0]["functionCall"]["args"] == {"not_json": '{"city": Os'}


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (Message.of("system", Image(PNG, "image/png")), "role system cannot hold .* image"),
        (Message.of("user", ToolCall("a", "now")), "role user cannot hold .* tool_call"),
        (Message.of("assistant", ToolResult("a")), "role assistant cannot hold .* tool_result"),
    ],
)
def test_blocks_that_have_no_place(message, problem):
    with pytest.raises(InvalidArguments, match=problem):
        sent(HI, message)


@given(conversations("google"), st.sampled_from([FLASH, OLD]))
def test_whatever_was_said_the_contents_are_of_the_official_types(messages, model):
    body = request_body(ModelRequest(f"google/{model}", messages), model, GOOGLE)
    for content in body["contents"]:
        read = types.Content.model_validate(content)
        assert read.role in ("user", "model")
        assert read.parts
        calls = [part for part in read.parts if part.function_call]
        assert all(part.thought_signature for part in calls[:1])


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (CITY, CITY),
        (
            {"$schema": "x", "type": "string", "format": "date"},
            {"type": "string", "format": "date"},
        ),
        ({"const": "a"}, {"enum": ["a"]}),
        ({"enum": ["a", 1]}, {"enum": ["a", 1]}),
        ({"const": True}, {"description": '{"const":true}'}),
        ({"enum": ["a", None]}, {"description": '{"enum":["a",null]}'}),
        (
            {"type": "integer", "exclusiveMinimum": 0, "description": "How many"},
            {"type": "integer", "description": 'How many\n\n{"exclusiveMinimum":0}'},
        ),
        (
            {"$ref": "#/$defs/a", "description": "x", "$defs": {"a": {"const": 1}}},
            {"$ref": "#/$defs/a", "$defs": {"a": {"enum": [1]}}},
        ),
        (
            {"type": "object", "additionalProperties": {"type": "string", "minLength": 1}},
            {
                "type": "object",
                "additionalProperties": {"type": "string", "description": '{"minLength":1}'},
            },
        ),
        (
            {"anyOf": [{"type": "null"}, True], "properties": {"a": {"default": 1}}},
            {
                "anyOf": [{"type": "null"}, {}],
                "properties": {"a": {"description": '{"default":1}'}},
            },
        ),
        ({"type": "array", "items": False, "prefixItems": [{}]},) * 2,
    ],
)
def test_schemas_in_the_words_gemini_knows(schema, expected):
    assert accepted(schema) == expected
