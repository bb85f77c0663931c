import anthropic
import httpx2
import pytest
from shared import answer_of

from llmspell.errors import ProviderError
from llmspell.providers.anthropic_messages import AnthropicMessages
from llmspell.providers.endpoints import Endpoint
from llmspell.providers.messages import (
    Extra,
    Message,
    ModelRequest,
    ModelResponse,
    Reasoning,
    ReasoningDelta,
    Refusal,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Unknown,
    Usage,
)
from llmspell.testing import fakes
from llmspell.testing.fakes import Answer, FakeServer
from llmspell.testing.fakes.wire import sse

pytestmark = pytest.mark.anyio

REQUEST = ModelRequest("anthropic/claude-haiku-5-5", (Message.of("user", "hi"),))
KEY = "sk-ant-api03-Zx81_qLw7TtRb29vNhYc3KdM5pGa0XfE6sUj4oWi"
ENDPOINT = Endpoint("anthropic", "http://fake", "ANTHROPIC_API_KEY", KEY, kind="anthropic")
OSLO, ROME = (ToolCall(i, "weather", {"city": c}) for i, c in (("t1", "Oslo"), ("t2", "Rome")))
SEARCH = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}}


async def asked(said, request=REQUEST, *, stream):
    """The response, and the deltas before it."""
    transport = FakeServer([said], key=KEY).transport()
    provider = AnthropicMessages(ENDPOINT, transport=transport, max_retries=0)
    return await answer_of(provider, request, stream=stream)


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def ask(request):
    async def asking(said, of=REQUEST):
        response, _ = await asked(said, of, stream=request.param)
        return response

    return asking


@pytest.mark.parametrize(
    "said",
    [
        Answer("Hello."),
        Answer("Half an ans", finish_reason="length"),
        Answer(OSLO, ROME),
        Answer(fakes.Reasoning("Hm, let me see."), "Both.", OSLO, usage=Usage(100, 20, 90)),
        Answer("Grüße, 世界 🌍", "And more."),
    ],
)
async def test_we_read_what_the_official_sdk_reads(said, ask):
    async with anthropic.AsyncAnthropic(
        api_key=KEY,
        base_url="http://fake",
        http_client=httpx2.AsyncClient(transport=FakeServer(said).transport()),
        _strict_response_validation=True,
    ) as sdk:
        asked = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
        theirs = await sdk.messages.create(**asked)
    ours = await ask(said)
    blocks = theirs.content
    assert ours.message.text == "".join([b.text for b in blocks if b.type == "text"])
    assert ours.message.reasoning == "".join([b.thinking for b in blocks if b.type == "thinking"])
    assert [(c.id, c.name, c.arguments) for c in ours.message.tool_calls] == [
        (b.id, b.name, b.input) for b in blocks if b.type == "tool_use"
    ]
    used = theirs.usage
    assert ours.usage == Usage(
        used.input_tokens + used.cache_read_input_tokens + used.cache_creation_input_tokens,
        used.output_tokens,
        used.cache_read_input_tokens,
        0,
        used.cache_creation_input_tokens,
    )
    assert ours.id == theirs.id
    assert ours.model == "anthropic/claude-haiku-5-5"
    assert not any(isinstance(block, Extra) for block in ours.message.content)


@pytest.mark.parametrize(
    ("reason", "meant"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "pause_turn"),
        ("tired", "tired"),
    ],
)
async def test_stop_reasons(reason, meant, ask):
    assert (await ask(Answer("Hello.", finish_reason=reason))).finish_reason == meant


async def test_servers_that_stop_normally_after_a_call(ask):
    assert (await ask(Answer(OSLO, finish_reason="end_turn"))).finish_reason == "tool_calls"


async def test_a_refusal(ask):
    response = await ask(Answer(Refusal("It is about bombs.")))
    assert response.message.refusal == "It is about bombs."
    assert response.finish_reason == "content_filter"
    response = await ask(Answer("But", finish_reason="refusal"))
    assert response.message.content == (Text("But"), Refusal("The model refuses to answer."))


async def test_thoughts_keep_what_their_provider_wants_back(ask):
    redacted = {"type": "redacted_thinking", "data": "ZW5j"}
    response = await ask([fakes.Reasoning("Hm.", "c2ln"), Unknown(redacted), "Yes."])
    assert response.message.content == (
        Reasoning("anthropic", "Hm.", {"type": "thinking", "signature": "c2ln"}),
        Reasoning("anthropic", "", redacted),
        Text("Yes."),
    )


async def test_what_we_do_not_know_is_kept_in_its_place(ask):
    response = await ask(["Let me search.", Unknown(SEARCH), "Found."])
    assert response.message.content == (
        Text("Let me search."),
        Extra("anthropic", SEARCH),
        Text("Found."),
    )


async def test_fields_we_do_not_know_stand_before_their_block(ask):
    called = {
        "type": "tool_use",
        "id": "t",
        "name": "now",
        "input": {"a": 1},
        "caller": {"type": "x"},
    }
    response = await ask(Unknown(called))
    assert response.message.content == (
        Extra("anthropic", {"caller": {"type": "x"}}),
        ToolCall("t", "now", {"a": 1}),
    )


async def test_broken_arguments_are_kept_for_the_model_to_mend(ask):
    response = await ask(ToolCall("t", "weather", raw='{"city": "Os'))
    (call,) = response.message.tool_calls
    assert (call.arguments, call.raw) == ({}, '{"city": "Os')
    assert call.problem.startswith("the arguments are not valid JSON")


async def test_doubled_ids_are_replaced(ask):
    response = await ask([OSLO, ToolCall("t1", "now")])
    assert [call.id for call in response.message.tool_calls] == ["t1", "call00002"]


async def test_pieces_are_shown_as_they_come():
    said = Answer(fakes.Reasoning("Hmm"), "Hi!", OSLO, pieces=2)
    response, deltas = await asked(said, stream=True)
    assert isinstance(response, ModelResponse)
    assert deltas == [
        ReasoningDelta("Hm"),
        ReasoningDelta("m"),
        TextDelta("Hi"),
        TextDelta("!"),
        ToolCallDelta(0, "t1", "weather", ""),
        ToolCallDelta(0, arguments='{"city":'),
        ToolCallDelta(0, arguments='"Oslo"}'),
    ]


def events(*events):
    return fakes.Wire.stream([sse(event, event["type"]) for event in events])


START = {
    "type": "message_start",
    "message": {"id": "m", "content": [], "usage": {"input_tokens": 5}},
}
STOP = {"type": "message_stop"}


def end(reason="end_turn", **usage):
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}


def begin(index, **block):
    return {"type": "content_block_start", "index": index, "content_block": block}


def more(index, kind, **fields):
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


async def test_arguments_may_come_whole_at_the_beginning():
    block = {"type": "tool_use", "id": "t", "name": "weather", "input": {"city": "Oslo"}}
    said = events(
        START, begin(0, **block), more(0, "input_json_delta", partial_json=""), end(), STOP
    )
    response, deltas = await asked(said, stream=True)
    assert response.message.tool_calls == [ToolCall("t", "weather", {"city": "Oslo"})]
    assert deltas == [ToolCallDelta(0, "t", "weather", '{"city":"Oslo"}')]


async def test_a_text_may_begin_with_its_block():
    said = events(
        START,
        begin(0, type="thinking", thinking="Hm", signature="s"),
        more(0, "thinking_delta", thinking="m."),
        begin(1, type="text", text="Oslo"),
        more(1, "text_delta", text=" it is."),
        end(),
        STOP,
    )
    response, deltas = await asked(said, stream=True)
    assert (response.message.reasoning, response.message.text) == ("Hmm.", "Oslo it is.")
    assert deltas == [
        ReasoningDelta("Hm"),
        ReasoningDelta("m."),
        TextDelta("Oslo"),
        TextDelta(" it is."),
    ]


async def test_calls_are_counted_without_the_blocks_between_them():
    said = events(
        START,
        begin(0, type="text", text=""),
        begin(1, type="tool_use", id="a", name="now", input={}),
        begin(2, **SEARCH),
        begin(3, type="tool_use", id="b", name="now", input={}),
        more(3, "input_json_delta", partial_json="{}"),
        end("tool_use"),
        STOP,
    )
    _, deltas = await asked(said, stream=True)
    assert [(d.index, d.id) for d in deltas] == [(0, "a"), (1, "b"), (1, "")]


async def test_citations_and_what_we_do_not_know_are_put_together():
    said = events(
        START,
        begin(0, type="text", text="", citations=None),
        more(0, "text_delta", text="Yes."),
        more(0, "citations_delta", citation={"n": 1}),
        more(0, "citations_delta", citation={"n": 2}),
        begin(1, type="summary", content=None, level=3),
        more(1, "summary_delta", content="All "),
        more(1, "summary_delta", content="of it."),
        end(),
        STOP,
    )
    response, deltas = await asked(said, stream=True)
    assert response.message.content == (
        Extra("anthropic", {"citations": [{"n": 1}, {"n": 2}]}),
        Text("Yes."),
        Extra("anthropic", {"type": "summary", "content": "All of it.", "level": 3}),
    )
    assert deltas == [TextDelta("Yes.")]


async def test_the_counts_at_the_end_stand_for_all_before():
    used = {
        "output_tokens": 30,
        "input_tokens": None,
        "cache_read_input_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 20},
    }
    said = events(START, begin(0, type="text", text="Hi"), end(**used), STOP)
    response, _ = await asked(said, stream=True)
    assert response.usage == Usage(12, 30, 7, 20)
    assert response.message.text == "Hi"


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (events(START, more(0, "text_delta", text="x")), "belongs to none of its blocks"),
        (events(START, begin(0, type="text", text="x")), "was cut off"),
        (events({"type": "ping"}), "was cut off"),
        (events(STOP), "was cut off"),
    ],
)
async def test_what_is_no_stream_of_an_answer(said, problem):
    with pytest.raises(ProviderError, match=problem) as caught:
        await asked(said, stream=True)
    assert caught.value.retryable


async def test_an_answer_with_nothing_in_it():
    response, deltas = await asked(events(START, end()), stream=True)
    assert (response.message.content, deltas) == ((), [])


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({}, "the answer has no content"),
        ({"content": "Hello."}, "the answer has no content"),
        ({"content": ["Hello."]}, "a block that is not an object"),
    ],
)
async def test_what_is_no_answer(data, problem):
    with pytest.raises(ProviderError, match=problem) as caught:
        await asked(fakes.Wire.json(data), stream=False)
    assert caught.value.retryable


async def test_bare_answers_of_small_servers():
    response, _ = await asked(fakes.Wire.json({"content": [{"type": "text"}]}), stream=False)
    assert response == ModelResponse(Message.of("assistant", ""), model=REQUEST.model)


@pytest.mark.parametrize(
    ("kind", "status", "retryable"),
    [
        ("overloaded_error", 529, True),
        ("rate_limit_error", 429, True),
        ("api_error", 500, True),
        ("authentication_error", 401, False),
        ("billing_error", 402, False),
        ("invalid_request_error", 400, False),
        ("novel_error", None, False),
    ],
)
async def test_an_error_among_the_events(kind, status, retryable):
    failure = {"type": "error", "error": {"type": kind, "message": f"No: {KEY}"}}
    for said in (events(START, begin(0, type="text", text="He"), failure), events(failure)):
        with pytest.raises(ProviderError, match=r"^anthropic: No: ") as caught:
            await asked(said, stream=True)
        assert (caught.value.status, caught.value.retryable) == (status, retryable)
        assert KEY not in str(caught.value)
    with pytest.raises(ProviderError) as caught:
        await asked(fakes.Wire.json(failure), stream=False)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("status", "kind", "hint"),
    [
        (
            401,
            "authentication_error",
            "check the key in the environment variable ANTHROPIC_API_KEY",
        ),
        (402, "billing_error", "check the account's plan and billing"),
        (404, "not_found_error", "check the model's name"),
        (529, "overloaded_error", "try again later, or send fewer requests at once"),
    ],
)
async def test_refusals_say_what_to_do(status, kind, hint):
    with pytest.raises(ProviderError, match=rf"(?m)^anthropic: No\. \(HTTP {status}\)$") as caught:
        await asked(fakes.refused(status, "No.", code=kind), stream=True)
    assert (caught.value.hint, caught.value.details["code"]) == (hint, kind)


async def test_the_models_it_has():
    def listed(request):
        assert request.url == "https://api.anthropic.com/v1/models?limit=1000"
        assert request.headers["x-api-key"] == KEY
        return httpx2.Response(200, json={"data": [{"id": "claude-a"}, {"id": "claude-b"}]})

    endpoint = Endpoint("anthropic", "https://api.anthropic.com", "ANTHROPIC_API_KEY", KEY)
    provider = AnthropicMessages(endpoint, transport=httpx2.MockTransport(listed))
    assert await provider.list_models() == ["claude-a", "claude-b"]
    await provider.close()
