"""Our requests beside those of Anthropic's own SDK, which is the authority on the format."""

import json

import anthropic
import httpx2
import pytest
from anthropic.types.beta import BetaThinkingConfigParam
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from conversations import conversations
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from shared import CITY, PDF, PNG, drained

from llmspell.errors import InvalidArguments, ProviderError
from llmspell.providers.anthropic_body import request_body
from llmspell.providers.anthropic_messages import AnthropicMessages
from llmspell.providers.anthropic_thinking import BETA
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
)
from llmspell.testing.fakes import FakeServer

ANTHROPIC = Endpoint("anthropic", "https://api.anthropic.com", "ANTHROPIC_API_KEY", "sk-ant-test")
HAIKU, OLD, OPUS, SONNET, LLAMA = (
    "claude-haiku-5-5",
    "claude-haiku-4-5",
    "claude-opus-5-5",
    "claude-sonnet-5-5",
    "llama-4",
)

CACHED = {"cache_control": {"type": "ephemeral"}}
HI = Message.of("user", "hi")


def text(words, **fields):
    return {"type": "text", "text": words, **fields}


def request(*messages, model=HAIKU, **fields):
    return ModelRequest(f"anthropic/{model}", messages or (HI,), **{"cache": False, **fields})


def sent(*messages, model=HAIKU, endpoint=ANTHROPIC, **fields):
    return request_body(request(*messages, model=model, **fields), model, endpoint)


THOUGHT = Reasoning("anthropic", "Hm.", {"type": "thinking", "signature": "c2ln"})
HIDDEN = Reasoning("anthropic", data={"type": "redacted_thinking", "data": "ZW5j"})

CONVERSATIONS = {
    "text": (
        request(system="Be brief.", max_tokens=64, stop=("END",), temperature=0.5, top_p=0.9),
        {
            "max_tokens": 64,
            "system": [text("Be brief.")],
            "messages": [{"role": "user", "content": [text("hi")]}],
            "stop_sequences": ["END"],
        },
    ),
    "system messages": (
        request(
            Message.of("system", "Be brief."),
            HI,
            Message.of("system", "Now in French."),
            system="You are Ada.",
        ),
        {
            "max_tokens": 16_384,
            "system": [text("You are Ada."), text("Be brief.")],
            "messages": [
                {"role": "user", "content": [text("hi")]},
                {"role": "user", "content": [text("<system>\nNow in French.\n</system>")]},
            ],
        },
    ),
    "tools": (
        request(
            Message.of("user", "Oslo or Rome?"),
            Message.of(
                "assistant",
                THOUGHT,
                HIDDEN,
                "One moment.",
                ToolCall("a", "weather", {"city": "Oslo"}),
                ToolCall("b", "weather", {"city": "Rome"}),
            ),
            Message.of(
                "tool",
                Text("They are:"),
                ToolResult("a", (Text("4 °C"), Image(PNG, "image/png"))),
                ToolResult("b", (Text("no such city"),), is_error=True),
                ToolResult("c"),
            ),
            model="claude-sonnet-5",
            tools=(ToolSpec("weather", "Weather now.", CITY), ToolSpec("now")),
            tool_choice="weather",
            parallel_tool_calls=False,
            reasoning="high",
            cache=True,
        ),
        {
            "max_tokens": 16_384,
            "messages": [
                {"role": "user", "content": [text("Oslo or Rome?", **CACHED)]},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
                        {"type": "redacted_thinking", "data": "ZW5j"},
                        text("One moment."),
                        {
                            "type": "tool_use",
                            "id": "a",
                            "name": "weather",
                            "input": {"city": "Oslo"},
                        },
                        {
                            "type": "tool_use",
                            "id": "b",
                            "name": "weather",
                            "input": {"city": "Rome"},
                        },
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "a",
                            "content": [
                                text("4 °C"),
                                {
                                    "type": "image",
                                    "source": {
                                        "type": "base64",
                                        "media_type": "image/png",
                                        "data": "iVBORw==",
                                    },
                                },
                            ],
                        },
                        {
                            "type": "tool_result",
                            "tool_use_id": "b",
                            "content": "no such city",
                            "is_error": True,
                        },
                        {"type": "tool_result", "tool_use_id": "c"},
                        text("They are:", **CACHED),
                    ],
                },
            ],
            "tools": [
                {"name": "weather", "description": "Weather now.", "input_schema": CITY},
                {"name": "now", "input_schema": {"type": "object", "properties": {}}, **CACHED},
            ],
            "tool_choice": {
                "type": "tool",
                "name": "weather",
                "disable_parallel_tool_use": True,
            },
            "thinking": {"type": "adaptive", "display": "summarized"},
            "output_config": {"effort": "high"},
        },
    ),
    "attachments": (
        request(
            Message.of(
                "user",
                "Compare.",
                Image(url="https://example.com/a.png"),
                File(PDF, "application/pdf", "a.pdf"),
                File(url="https://example.com/b.pdf", name="b.pdf"),
                File(b"x = 1", "text/x-python", "a.py"),
                File(PNG, "image/png", "a.png"),
                Unknown({"type": "image", "source": {"type": "file", "file_id": "f1"}}),
            ),
        ),
        {
            "max_tokens": 16_384,
            "messages": [
                {
                    "role": "user",
                    "content": [
                        text("Compare."),
                        {
                            "type": "image",
                            "source": {"type": "url", "url": "https://example.com/a.png"},
                        },
                        {
                            "type": "document",
                            "title": "a.pdf",
                            "source": {
                                "type": "base64",
                                "media_type": "application/pdf",
                                "data": "JVBERi0xLjc=",
                            },
                        },
                        {
                            "type": "document",
                            "title": "b.pdf",
                            "source": {"type": "url", "url": "https://example.com/b.pdf"},
                        },
                        {
                            "type": "document",
                            "title": "a.py",
                            "source": {
                                "type": "text",
                                "media_type": "text/plain",
                                "data": "x = 1",
                            },
                        },
                        {
                            "type": "image",
                            "source": {
                                "type": "base64",
                                "media_type": "image/png",
                                "data": "iVBORw==",
                            },
                        },
                        {"type": "image", "source": {"type": "file", "file_id": "f1"}},
                    ],
                }
            ],
        },
    ),
    "output": (
        request(output=CITY, reasoning="low"),
        {
            "max_tokens": 16_384,
            "messages": [{"role": "user", "content": [text("hi")]}],
            "thinking": {"type": "adaptive", "display": "summarized"},
            "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": CITY}},
        },
    ),
    "a budget": (
        request(model=OLD, reasoning=2000, max_tokens=3000),
        {
            "max_tokens": 3000,
            "messages": [{"role": "user", "content": [text("hi")]}],
            "thinking": {"type": "enabled", "budget_tokens": 2000},
        },
    ),
    "another server": (
        request(
            model=LLAMA, temperature=0, top_p=0.9, tools=(ToolSpec("now"),), tool_choice="auto"
        ),
        {
            "max_tokens": 16_384,
            "messages": [{"role": "user", "content": [text("hi")]}],
            "tools": [{"name": "now", "input_schema": {"type": "object", "properties": {}}}],
            "tool_choice": {"type": "auto"},
            "extra_body": {"temperature": 0, "top_p": 0.9},
        },
    ),
}


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", CONVERSATIONS)
async def test_the_request_is_the_official_sdks(name, stream):
    request, arguments = CONVERSATIONS[name]
    requests = []

    def answer(sent):
        requests.append(sent)
        return httpx2.Response(400, json={})

    transport = httpx2.MockTransport(answer)
    async with anthropic.AsyncAnthropic(
        api_key="sk-ant-test", http_client=httpx2.AsyncClient(transport=transport), max_retries=0
    ) as sdk:
        model = request.model.removeprefix("anthropic/")
        with pytest.raises(anthropic.BadRequestError):
            await sdk.messages.create(
                model=model, **arguments, **({"stream": True} if stream else {})
            )
    provider = AnthropicMessages(ANTHROPIC, transport=transport)
    asked = anext(provider.stream(request)) if stream else provider.complete(request)
    with pytest.raises(ProviderError, match="HTTP 400"):
        await asked
    await provider.close()
    theirs, ours = requests
    assert json.loads(ours.content) == json.loads(theirs.content)
    assert (ours.method, ours.url) == (theirs.method, theirs.url)
    assert ours.headers["anthropic-version"] == theirs.headers["anthropic-version"]
    # Theirs is in "authorization" since version 2; servers that speak the protocol know this one.
    assert ours.headers["x-api-key"] == "sk-ant-test"


@pytest.mark.parametrize("name", [n for n in CONVERSATIONS if n != "another server"])
def test_the_body_is_of_the_official_types(name):
    """Validation drops what the types do not name, so that an equal body has nothing of the kind."""
    request, _ = CONVERSATIONS[name]
    body = request_body(request, "m-" + request.model.removeprefix("anthropic/"), ANTHROPIC)
    assert drained(TypeAdapter(MessageCreateParamsNonStreaming).validate_python(body)) == body


WEATHER = ToolSpec("weather", schema=CITY)


@pytest.mark.parametrize(
    ("model", "reasoning", "thinking", "effort"),
    [
        (HAIKU, None, None, None),
        (HAIKU, "none", {"type": "disabled"}, None),
        (HAIKU, 0, {"type": "disabled"}, None),
        (HAIKU, "xhigh", {"type": "adaptive", "display": "summarized"}, "xhigh"),
        (HAIKU, 1000, {"type": "adaptive", "display": "summarized"}, "low"),
        (HAIKU, 5000, {"type": "adaptive", "display": "summarized"}, "medium"),
        (HAIKU, 90_000, {"type": "adaptive", "display": "summarized"}, "high"),
        ("claude-sonnet-4-6", "low", {"type": "adaptive"}, "low"),
        (SONNET, "none", {"type": "between_tools"}, None),
        (OPUS, "none", None, "low"),
        ("claude-mythos-5", "none", None, "low"),
        ("claude-opus-4-8", "medium", {"type": "adaptive", "display": "summarized"}, "medium"),
        ("claude-next-9", "medium", {"type": "adaptive", "display": "summarized"}, "medium"),
        (OLD, "none", {"type": "disabled"}, None),
        (OLD, "low", {"type": "enabled", "budget_tokens": 2048}, None),
        (OLD, "high", {"type": "enabled", "budget_tokens": 16_384}, None),
        (OLD, 5, {"type": "enabled", "budget_tokens": 1024}, None),
        ("anthropic.claude-opus-4-5-v1", 4000, {"type": "enabled", "budget_tokens": 4000}, None),
        (LLAMA, "low", {"type": "enabled", "budget_tokens": 2048}, None),
    ],
)
def test_every_model_is_told_in_its_own_way_how_much_to_think(model, reasoning, thinking, effort):
    body = sent(model=model, reasoning=reasoning)
    assert body.get("thinking") == thinking
    assert body.get("output_config", {}).get("effort") == effort


@pytest.mark.parametrize(
    ("wanted", "longest"), [(None, 16_384 + 2048), (100, 100 + 2048), (5000, 5000)]
)
def test_a_budget_leaves_room_for_the_answer(wanted, longest):
    assert sent(model=OLD, reasoning="low", max_tokens=wanted)["max_tokens"] == longest


def test_no_thinking_by_budget_where_the_api_refuses_it():
    forced = sent(model=OLD, reasoning="low", tools=(WEATHER,), tool_choice="required")
    assert "thinking" not in forced
    call, result = ToolCall("a", "now"), ToolResult("a", (Text("noon"),))
    for thought, thinks in ((THOUGHT, True), (Reasoning("openai", "Hm."), False)):
        turn = (HI, Message.of("assistant", thought, call), Message.of("tool", result))
        assert ("thinking" in sent(*turn, model=OLD, reasoning="low")) is thinks


def test_thoughts_that_fit_no_longer_may_be_dropped():
    """Agents forget old messages, and these models refuse what they thought after those."""
    turn = (HI, Message.of("assistant", THOUGHT, "Yes."), HI)
    drop = {"type": "adaptive", "block_binding": {"prefix_mismatch_behavior": "drop_block"}}
    body = sent(*turn, model=OPUS)
    assert body["thinking"] == drop
    config = TypeAdapter(BetaThinkingConfigParam).validate_python(body["thinking"])
    assert config == body["thinking"]
    assert sent(*turn, model=OPUS, reasoning="low")["thinking"] == drop | {"display": "summarized"}
    assert "thinking" not in sent(*turn, model="claude-opus-5")
    assert "thinking" not in sent(model=OPUS)
    assert sent(*turn, model=HAIKU, reasoning="none")["thinking"] == {"type": "disabled"}


@pytest.mark.parametrize(
    ("betas", "allowed"),
    [("other-2026-01-01", False), (f"other-2026-01-01,{BETA}", True)],
)
def test_config_decides_which_betas_are_on(betas, allowed):
    endpoint = Endpoint("anthropic", "https://a", headers={"Anthropic-Beta": betas})
    body = sent(Message.of("assistant", THOUGHT), HI, model=OPUS, endpoint=endpoint)
    assert ("thinking" in body) is allowed


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        ("auto", None, {"type": "auto"}),
        ("none", False, {"type": "none"}),
        ("required", None, {"type": "any"}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        ("weather", None, {"type": "tool", "name": "weather"}),
    ],
)
def test_tool_choice(choice, parallel, expected):
    body = sent(tools=(WEATHER,), tool_choice=choice, parallel_tool_calls=parallel)
    assert body.get("tool_choice") == expected
    assert "tool_choice" not in sent(tool_choice=choice, parallel_tool_calls=parallel)


@pytest.mark.parametrize("model", [OPUS, SONNET, "claude-fable-5-2", "claude-mythos-5-1"])
def test_who_cannot_be_forced_is_told_in_words(model):
    body = sent(model=model, tools=(WEATHER,), tool_choice="weather", parallel_tool_calls=False)
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert body["system"] == [text("You must call the tool weather.")]
    body = sent(model=model, tools=(WEATHER,), tool_choice="required", system="Be brief.")
    assert body["tool_choice"] == {"type": "auto"}
    assert body["system"] == [text("Be brief."), text("You must call a tool.")]


OPEN = {"type": "object", "additionalProperties": {"type": "string"}}


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "schema", "choice"),
    [
        (LLAMA, CITY, {"type": "tool", "name": "final_answer"}),
        (HAIKU, OPEN, {"type": "tool", "name": "final_answer"}),
        (OPUS, OPEN, {"type": "auto"}),
    ],
)
async def test_who_cannot_be_held_to_a_schema_answers_by_a_tool(model, schema, choice, stream):
    server = FakeServer(ToolCall("t", "final_answer", {"city": "Oslo"}))
    provider = AnthropicMessages(ANTHROPIC, transport=server.transport())
    asked = request(model=model, output=schema)
    if stream:
        *_, response = [part async for part in provider.stream(asked)]
    else:
        response = await provider.complete(asked)
    await provider.close()
    assert response.message.text == '{"city":"Oslo"}'
    body = server.requests[0].json
    assert body["tools"][0]["input_schema"] == schema
    assert body["tool_choice"] == choice
    assert "output_config" not in body


def test_the_cache_is_marked_four_times_at_most():
    turns = [Message.of(role, f"{n}") for n in range(3) for role in ("user", "assistant")]
    body = sent(*turns, HI, tools=(WEATHER,), system="Be brief.", cache=True)
    marked = [
        block
        for part in (body["tools"], body["system"], *(t["content"] for t in body["messages"]))
        for block in part
        if "cache_control" in block
    ]
    assert marked == [
        {"name": "weather", "input_schema": CITY} | CACHED,
        text("Be brief.", **CACHED),
        text("2", **CACHED),
        text("hi", **CACHED),
    ]


HOUR = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}


@pytest.mark.parametrize(
    ("said", "own"),
    [
        (HI, HOUR),
        (HI, {"system": [text("Be brief.", **HOUR)]}),
        (Message.of("user", Unknown(text("hi", **HOUR))), {}),
        (Message("tool", (ToolResult("a", (Unknown(text("hi", **HOUR)),)),)), {}),
    ],
)
def test_a_spell_that_marks_the_cache_itself_is_left_to_that(said, own):
    body = sent(said, tools=(WEATHER,), system="Be brief.", cache=True, extra_body=own)
    assert json.dumps(body).count("cache_control") == 1


def test_marks_are_put_on_copies():
    kept = Unknown({"type": "text", "text": "hi"})
    body = sent(Message.of("user", kept), cache=True)
    assert body["messages"][0]["content"] == [text("hi", **CACHED)]
    assert kept.data == text("hi")


def test_what_cannot_be_marked_is_not():
    odd = Message.of("user", "hi", Unknown({"type": "container_upload", "file_id": "f"}))
    first, last = sent(odd, cache=True)["messages"][0]["content"]
    assert first == text("hi", **CACHED)
    assert "cache_control" not in last


def test_extra_body_has_the_last_word():
    endpoint = Endpoint(
        "anthropic", "https://a", extra_body={"service_tier": "auto", "max_tokens": 1}
    )
    body = sent(endpoint=endpoint, extra_body={"max_tokens": 2, "temperature": 0.1})
    assert (body["service_tier"], body["max_tokens"], body["temperature"]) == ("auto", 2, 0.1)


def test_fields_and_blocks_of_its_own_go_back_to_anthropic_only():
    cited = {"citations": [{"type": "char_location", "cited_text": "x"}]}
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    message = Message.of("assistant", Extra("anthropic", cited), "Yes.", Extra("anthropic", search))
    (turn,) = sent(message)["messages"]
    assert turn["content"] == [text("Yes.", **cited), search]
    other = Endpoint("kimi", "https://a")
    assert sent(message, endpoint=other)["messages"][0]["content"] == [text("Yes.")]


def test_the_empty_input_of_a_servers_tool_is_still_a_table_after_lua():
    """Lua does not tell an empty table from an empty list; the API takes no list."""
    called = {"type": "server_tool_use", "id": "s", "name": "now", "input": []}
    (turn,) = sent(Message.of("assistant", Extra("anthropic", called), "Noon."))["messages"]
    assert turn["content"][0] == called | {"input": {}}


def test_extra_fields_cannot_pose_as_ours():
    (turn,) = sent(Message.of("assistant", Extra("anthropic", {"text": "No."}), "Yes."))["messages"]
    assert turn["content"] == [text("Yes.")]


def test_other_providers_thoughts_stay_away():
    foreign = Message.of("assistant", Reasoning("openai", "Hm."), "Yes.")
    assert sent(foreign)["messages"] == [{"role": "assistant", "content": [text("Yes.")]}]


def test_turns_and_texts_with_nothing_in_them_are_left_out():
    body = sent(
        Message.of("user", " ", "hi"),
        Message.of("assistant", ""),
        Message.of("user", "\n", "go on"),
    )
    assert [turn["content"] for turn in body["messages"]] == [[text("hi")], [text("go on")]]


@pytest.mark.parametrize(
    ("url", "data", "media_type"),
    [
        ("data:image/png;base64,iVBORw==", "iVBORw==", "image/png"),
        ("data:image/svg+xml,%3Csvg%2F%3E", "PHN2Zy8+", "image/svg+xml"),
        ("data:;base64,iVBORw==", "iVBORw==", "image/gif"),
    ],
)
def test_a_data_url_is_sent_as_what_it_holds(url, data, media_type):
    picture = Image(url=url, media_type="image/gif")
    (turn,) = sent(Message.of("user", picture))["messages"]
    source = {"type": "base64", "media_type": media_type, "data": data}
    assert turn["content"] == [{"type": "image", "source": source}]


def test_a_data_url_that_is_none():
    with pytest.raises(InvalidArguments, match="a data: URL is not base64"):
        sent(Message.of("user", Image(url="data:image/png;base64,?")))


@pytest.mark.parametrize("content", [(), (Text(" "),), (Image(PNG, "image/png"),)])
def test_a_failure_is_told_in_words(content):
    (turn,) = sent(Message.of("tool", ToolResult("a", content, is_error=True)))["messages"]
    assert turn["content"][0]["content"] == "The tool failed."


def test_a_text_to_stop_at_has_something_in_it():
    assert sent(stop=("\n\n", "END"))["stop_sequences"] == ["END"]
    assert "stop_sequences" not in sent(stop=("\n",))


def test_a_refusal_is_given_back_as_text():
    (turn,) = sent(Message.of("assistant", Refusal("I won't.")))["messages"]
    assert turn["content"] == [text("I won't.")]


def test_ids_of_other_models_are_spelt_as_anthropic_spells_them():
    odd, plain = "functions.weather:0", "call_1-a"
    calls = Message.of("assistant", ToolCall(odd, "weather"), ToolCall(plain, "now"))
    turns = sent(calls, Message.of("tool", ToolResult(odd), ToolResult(plain)))["messages"]
    called = [block["id"] for block in turns[0]["content"]]
    assert called == [block["tool_use_id"] for block in turns[1]["content"]]
    assert called[0].startswith("toolu_")
    assert called[0][6:].isalnum()
    assert called[1] == plain


def test_arguments_that_were_no_json_go_back_as_json():
    call = ToolCall("a", "weather", problem="the arguments are not valid JSON", raw='{"city": Os')
    (turn,) = sent(Message.of("assistant", call))["messages"]
    assert turn["content"][0]["input"] == {"not_json": '{"city": Os'}


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (Message.of("system", Image(PNG, "image/png")), "role system cannot hold .* image"),
        (Message.of("user", ToolCall("a", "now")), "role user cannot hold .* tool_call"),
        (Message.of("assistant", Image(PNG, "image/png")), "role assistant cannot hold .* image"),
        (Message.of("user", File(b"RIFF", "audio/wav", "a.wav")), "a.wav: Anthropic accepts"),
        (Message.of("user", File(url="https://a", media_type="text/plain")), "Anthropic accepts"),
    ],
)
def test_blocks_that_have_no_place(message, problem):
    with pytest.raises(InvalidArguments, match=problem):
        sent(HI, message)


PARAMS = TypeAdapter(MessageCreateParamsNonStreaming)


@given(
    conversations("anthropic"),
    st.sampled_from([HAIKU, OLD, OPUS, SONNET]),
    st.sampled_from([None, "none", "low", 3000]),
    st.sampled_from([None, "auto", "none", "required", "weather"]),
)
def test_whatever_is_asked_the_body_is_of_the_official_types(messages, model, reasoning, choice):
    asked = ModelRequest(
        f"anthropic/{model}",
        messages,
        system="Be brief.",
        tools=(WEATHER,),
        tool_choice=choice,
        reasoning=reasoning,
    )
    body = request_body(asked, model, ANTHROPIC)
    body.get("thinking", {}).pop("block_binding", None)  # of a beta, and checked elsewhere
    if body.get("thinking") == {"type": "adaptive"}:
        del body["thinking"]
    assert drained(PARAMS.validate_python(body)) == body
    parts = [body["tools"], body["system"], *(turn["content"] for turn in body["messages"])]
    assert all(parts)
    assert sum("cache_control" in block for part in parts for block in part) <= 4
