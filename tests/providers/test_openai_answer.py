import json

import httpx2
import openai
import pytest

from llmspell.errors import InvalidArguments, ProviderError
from llmspell.providers.deserialization import response_from_plain
from llmspell.providers.endpoints import Endpoint
from llmspell.providers.messages import (
    Extra,
    Message,
    ModelRequest,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Usage,
)
from llmspell.providers.openai_answer import response_from
from llmspell.providers.openai_body import request_body
from llmspell.tools.tool import check_tool_name

ENDPOINT = Endpoint("test", "http://localhost/v1")
REQUEST = ModelRequest("test/gpt", (Message.of("user", "hi"),))


def read(data, request=REQUEST):
    return response_from(data, request, ENDPOINT)


def called(*calls, **fields):
    return {"content": None, "tool_calls": list(calls), **fields}


def function(name, arguments, **fields):
    function = {"name": name, "arguments": arguments}
    return {"id": "call_1", "type": "function", "function": function} | fields


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("message", "finish_reason"),
    [
        ({}, "stop"),
        ({"content": "Half an ans"}, "length"),
        ({"content": None, "refusal": "I'm sorry."}, "stop"),
        ({"content": ""}, "content_filter"),
        (
            called(function("weather", '{"city":"Oslo"}'), function("now", "{}", id="b")),
            "tool_calls",
        ),
    ],
)
async def test_we_read_what_the_official_sdk_reads(message, finish_reason, completion):
    data = completion(message, finish_reason=finish_reason)
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=data))
    async with openai.AsyncOpenAI(
        api_key="sk-test",
        http_client=httpx2.AsyncClient(transport=transport),
        _strict_response_validation=True,
    ) as sdk:
        theirs = await sdk.chat.completions.create(model="gpt", messages=[])
    ours = read(data)
    choice = theirs.choices[0]
    assert ours.message.role == choice.message.role
    assert ours.message.text == (choice.message.content or "")
    assert ours.message.refusal == choice.message.refusal
    assert [(c.id, c.name, c.arguments) for c in ours.message.tool_calls] == [
        (c.id, c.function.name, json.loads(c.function.arguments))
        for c in choice.message.tool_calls or []
    ]
    assert ours.finish_reason == choice.finish_reason
    assert ours.usage == Usage(
        theirs.usage.prompt_tokens,
        theirs.usage.completion_tokens,
        theirs.usage.prompt_tokens_details.cached_tokens,
        theirs.usage.completion_tokens_details.reasoning_tokens,
    )
    assert (ours.id, ours.model) == (theirs.id, f"test/{theirs.model}")
    assert not any(isinstance(block, Extra) for block in ours.message.content)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ('{"city": "Os', "the arguments are not valid JSON: Unterminated string"),
        ('{"n": NaN}', "the arguments are not valid JSON: NaN"),
        ("[" * 100_000, "the arguments are not valid JSON: nested too deeply"),
        ("[1, 2]", "the arguments are not a JSON object"),
        ('"Oslo"', "the arguments are not a JSON object"),
        ([1, 2], "the arguments are not a JSON object"),
    ],
)
def test_broken_arguments_are_kept_for_the_model_to_mend(written, problem, completion):
    response = read(completion(called(function("weather", written))))
    (call,) = response.message.tool_calls
    assert call.arguments == {}
    assert call.problem.startswith(problem)
    assert call.raw == (
        written if isinstance(written, str) else json.dumps(written, separators=(",", ":"))
    )
    again = ModelRequest("test/gpt", (response.message,))
    assert request_body(again, "gpt", ENDPOINT)["messages"][0]["tool_calls"]


@pytest.mark.parametrize("written", ["", "{}", "null", None, {}])
def test_no_arguments_are_none(written, completion):
    (call,) = read(completion(called(function("now", written)))).message.tool_calls
    assert call == ToolCall("call_1", "now")


def test_missing_and_doubled_ids_are_replaced_by_ones_that_never_clash(completion):
    before = Message.of("assistant", ToolCall("call00001", "now"))
    request = ModelRequest("test/gpt", (before,))
    calls = [
        function("a", "{}", id=None),
        function("b", "{}"),
        function("c", "{}"),
        {"type": "function", "function": {"name": "d"}},
    ]
    first, second = (read(completion(called(*calls)), request) for _ in range(2))
    ids = [call.id for call in first.message.tool_calls]
    assert ids == ["call00002", "call_1", "call00004", "call00005"]
    assert first == second


@pytest.mark.parametrize(
    ("reason", "message", "meant"),
    [
        ("stop", called(function("now", "{}")), "tool_calls"),
        (None, called(function("now", "{}")), "tool_calls"),
        ("length", called(function("now", "{}")), "length"),
        (None, {}, "stop"),
        ("eos", {}, "eos"),
    ],
)
def test_finish_reasons(reason, message, meant, completion):
    assert read(completion(message, finish_reason=reason)).finish_reason == meant


@pytest.mark.parametrize(
    ("usage", "meant"),
    [
        (None, Usage()),
        ("many", Usage()),
        ({"prompt_tokens": 3, "completion_tokens": None}, Usage(3, 0)),
        ({"prompt_tokens": True, "completion_tokens": -1}, Usage()),
        ({"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": None}, Usage(3, 2)),
        (
            {
                "prompt_tokens": 32,
                "completion_tokens": 9,
                "total_tokens": 135,
                "completion_tokens_details": {"reasoning_tokens": 94},
            },
            Usage(32, 103, 0, 94),
        ),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 1,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
            },
            Usage(9, 1, 4, 0, 3),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 4},
            Usage(9, 1, 4),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 1, "cached_tokens": 4}, Usage(9, 1, 4)),
    ],
)
def test_usage_is_read_from_whoever_counts(usage, meant, completion):
    assert read(completion(usage=usage)).usage == meant


def test_what_we_do_not_know_is_kept(completion):
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    chart = {"type": "chart", "bars": [1, 2]}
    parts = [thinking, {"type": "text", "text": "Yes"}, {"type": "text", "text": "."}, chart]
    message = read(completion({"content": parts, "citations": ["a"]})).message
    assert message.content == (
        Extra("test", {"citations": ["a"]}),
        Reasoning("test", "Hm.", {"content": [thinking]}),
        Text("Yes."),
        Extra("test", {"content": [chart]}),
    )
    again = request_body(ModelRequest("test/gpt", (message,)), "gpt", ENDPOINT)["messages"]
    assert again == [
        {
            "role": "assistant",
            "citations": ["a"],
            "content": [thinking, {"type": "text", "text": "Yes."}, chart],
        }
    ]


DETAILS = [
    {"type": "reasoning.text", "text": "Hm.", "signature": "s", "index": 0},
    {"type": "reasoning.encrypted", "data": "gAAA", "index": 1},
]


@pytest.mark.parametrize(
    ("fields", "block", "back"),
    [
        (
            {"reasoning_content": "Hm."},
            Reasoning("test", "Hm.", {"field": "reasoning_content"}),
            {"reasoning_content": "Hm."},
        ),
        (
            {"reasoning": "Hm.", "reasoning_content": None},
            Reasoning("test", "Hm.", {"field": "reasoning"}),
            {"reasoning": "Hm."},
        ),
        (
            {"reasoning": "Hm.", "reasoning_content": "Hm."},
            Reasoning("test", "Hm.", {"field": "reasoning_content"}),
            {"reasoning_content": "Hm."},
        ),
        (
            {"reasoning": "Hm.", "reasoning_details": DETAILS},
            Reasoning("test", "Hm.", {"reasoning_details": DETAILS}),
            {"reasoning_details": DETAILS},
        ),
        (
            {"reasoning_details": DETAILS},
            Reasoning("test", "Hm.", {"reasoning_details": DETAILS}),
            {"reasoning_details": DETAILS},
        ),
        ({"reasoning": ""}, None, {}),
        ({"reasoning": None}, None, {}),
    ],
)
def test_reasoning_goes_back_as_it_came_to_its_own_provider_only(fields, block, back, completion):
    message = read(completion(fields)).message
    assert message.content == (*([block] if block else []), Text("Hello."))
    request = ModelRequest("test/gpt", (message,))
    said = {"role": "assistant", "content": "Hello."}
    assert request_body(request, "gpt", ENDPOINT)["messages"] == [said | back]
    assert request_body(request, "gpt", Endpoint("other", "http://x"))["messages"] == [said]
    assert response_from_plain(read(completion(fields)).as_plain()).message == message


def test_bare_answers_of_small_servers():
    response = read({"choices": [{"message": {"role": "assistant", "content": "Yes."}}]})
    assert response.message == Message.of("assistant", "Yes.")
    assert (response.model, response.id, response.finish_reason) == ("test/gpt", "", "stop")


def test_a_refusal_is_no_text(completion):
    message = read(completion({"content": None, "refusal": "No."})).message
    assert message.content == (Refusal("No."),)


@pytest.mark.parametrize("name", [None, "", 5, []])
def test_a_missing_name_is_replaced_by_one_that_no_tool_has(name, completion):
    (call,) = read(completion(called(function(name, "{}")))).message.tool_calls
    assert call == ToolCall("call_1", "no-name")
    with pytest.raises(InvalidArguments, match="no-name"):
        check_tool_name(call.name)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({}, "the answer has no choices"),
        ({"choices": []}, "the answer has no choices"),
        ({"choices": None}, "the answer has no choices"),
        ({"choices": ["hi"]}, "the answer has no choices"),
        ({"choices": [{}]}, "the answer's choice has no message"),
        ({"choices": [{"message": {"tool_calls": [{"id": "a"}]}}]}, "without a function"),
        ({"choices": [{"message": {"tool_calls": "now"}}]}, "without a function"),
    ],
)
def test_what_is_no_answer(data, problem):
    with pytest.raises(ProviderError, match=problem) as caught:
        read(data)
    assert caught.value.retryable


@pytest.mark.parametrize("inside", [False, True])
def test_an_error_in_an_answer_of_200(inside):
    error = {"code": 429, "message": "Slow down."}
    data = {"choices": [{"error": error, "message": {}}]} if inside else {"error": error}
    with pytest.raises(ProviderError, match=r"(?m)^test: Slow down. \(HTTP 429\)$") as caught:
        read(data)
    assert (caught.value.status, caught.value.retryable) == (429, True)


def test_an_error_in_an_answer_of_200_without_a_status():
    with pytest.raises(ProviderError, match=r"(?m)^test: out of order$") as caught:
        read({"error": "out of order"})
    assert (caught.value.status, caught.value.retryable) == (None, False)
