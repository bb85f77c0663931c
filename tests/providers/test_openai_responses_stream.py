"""OpenAI's Responses in pieces."""

import json

import httpx2
import pytest

from llmspell.errors import ProviderError
from llmspell.providers.endpoints import Endpoint
from llmspell.providers.messages import (
    Message,
    ModelRequest,
    Reasoning,
    ReasoningDelta,
    Refusal,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)
from llmspell.providers.openai_responses import OpenAIResponses

pytestmark = pytest.mark.anyio

ENDPOINT = Endpoint("test", "http://test/v1", kind="openai-responses")
REQUEST = ModelRequest("test/gpt", (Message.of("user", "hi"),))
TEXT = {
    "type": "message",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Hello.", "annotations": []}],
}
CALL = {
    "type": "function_call",
    "call_id": "a",
    "name": "weather",
    "arguments": '{"city":"Oslo"}',
}
THOUGHT = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": t} for t in ("Hm.", "So.")],
    "encrypted_content": "gAAA",
}


def event(kind, **fields):
    return {"type": f"response.{kind}" if kind != "error" else kind, **fields}


def completed(*output, kind="completed", **fields):
    response = {"id": "resp_1", "model": "gpt-1", "status": kind, "output": list(output)}
    return event(kind, response=response | fields)


def sse(*events, named=True):
    body = b""
    for each in events:
        name = f"event: {each['type']}\n".encode() if named else b""
        body += name + b"data: " + json.dumps(each).encode() + b"\n\n"
    return body


@pytest.fixture
def hear():
    """The deltas and the response of a stream of these events."""

    async def hearing(*events, body=None, named=True):
        content = sse(*events, named=named) if body is None else body
        headers = {"content-type": "text/event-stream; charset=utf-8"}
        transport = httpx2.MockTransport(
            lambda _: httpx2.Response(200, content=content, headers=headers)
        )
        provider = OpenAIResponses(ENDPOINT, transport=transport)
        try:
            *deltas, response = [part async for part in provider.stream(REQUEST)]
        finally:
            await provider.close()
        return deltas, response

    return hearing


@pytest.mark.parametrize("named", [True, False])
async def test_everything_is_shown_as_it_comes(named, hear):
    deltas, response = await hear(
        event("created", response={"tools": ["…"]}),
        event("output_item.added", output_index=0, item=THOUGHT | {"summary": []}),
        event("reasoning_summary_part.added", output_index=0, summary_index=0),
        event("reasoning_summary_text.delta", output_index=0, delta="Hm."),
        event("reasoning_summary_part.added", output_index=0, summary_index=1),
        event("reasoning_summary_text.delta", output_index=0, delta="So."),
        event("output_item.done", output_index=0, item=THOUGHT),
        event("output_item.added", output_index=1, item=TEXT | {"content": []}),
        event("content_part.added", output_index=1),
        event("output_text.delta", output_index=1, delta="Hel"),
        event("output_text.delta", output_index=1, delta="lo."),
        event("output_text.done", output_index=1, text="Hello."),
        event("output_item.done", output_index=1, item=TEXT),
        event("output_item.added", output_index=2, item=CALL | {"arguments": ""}),
        event("function_call_arguments.delta", output_index=2, delta='{"city"'),
        event("function_call_arguments.delta", output_index=2, delta=':"Oslo"}'),
        event("function_call_arguments.done", output_index=2, arguments='{"city":"Oslo"}'),
        event("output_item.done", output_index=2, item=CALL),
        completed(THOUGHT, TEXT, CALL),
        named=named,
    )
    assert deltas == [
        ReasoningDelta("Hm."),
        ReasoningDelta("\n\n"),
        ReasoningDelta("So."),
        TextDelta("Hel"),
        TextDelta("lo."),
        ToolCallDelta(0, "a", "weather"),
        ToolCallDelta(0, arguments='{"city"'),
        ToolCallDelta(0, arguments=':"Oslo"}'),
    ]
    assert response.message.content == (
        Reasoning("test", "Hm.\n\nSo.", THOUGHT),
        Text("Hello."),
        ToolCall("a", "weather", {"city": "Oslo"}),
    )
    assert "".join([d.text for d in deltas[:3]]) == response.message.reasoning
    assert response.finish_reason == "tool_calls"


async def test_calls_whose_arguments_come_whole(hear):
    deltas, _ = await hear(
        event("output_item.added", output_index=0, item=CALL | {"arguments": ""}),
        event("output_item.done", output_index=0, item=CALL),
        event("output_item.added", output_index=1, item=CALL | {"call_id": "b"}),
        event("output_item.done", output_index=1, item=CALL | {"call_id": "b"}),
        completed(CALL, CALL | {"call_id": "b"}),
    )
    assert deltas == [
        ToolCallDelta(0, "a", "weather"),
        ToolCallDelta(0, arguments=CALL["arguments"]),
        ToolCallDelta(1, "b", "weather", CALL["arguments"]),
    ]


async def test_open_reasoning_is_shown(hear):
    deltas, _ = await hear(event("reasoning_text.delta", delta="Hm."), completed(TEXT))
    assert deltas == [ReasoningDelta("Hm.")]


async def test_items_that_the_last_event_leaves_out_were_heard_before(hear):
    _, response = await hear(
        event("output_item.done", output_index=0, item=TEXT), completed(), body=None
    )
    assert response.message == Message.of("assistant", "Hello.")


async def test_an_answer_that_was_too_long(hear):
    details = {"reason": "max_output_tokens"}
    _, response = await hear(completed(TEXT, kind="incomplete", incomplete_details=details))
    assert response.finish_reason == "length"


async def test_a_refusal_is_no_text(hear):
    refusal = TEXT | {"content": [{"type": "refusal", "refusal": "I'm sorry."}]}
    deltas, response = await hear(event("refusal.delta", delta="I'm sorry."), completed(refusal))
    assert deltas == []
    assert response.message.content == (Refusal("I'm sorry."),)


@pytest.mark.parametrize(
    "odd",
    [
        event("hologram.delta", delta="…"),
        event("output_text.delta", delta=""),
        event("output_text.delta"),
        event("output_item.added", item="?"),
        event("output_item.done", item="?"),
        event("function_call_arguments.delta", output_index=9, delta="{}"),
        {"type": "keepalive"},
        {"type": None},
    ],
)
async def test_events_that_say_nothing(odd, hear):
    deltas, response = await hear(odd | {"type": odd["type"] or "odd"}, completed(TEXT))
    assert deltas == []
    assert response.message.text == "Hello."


async def test_a_server_may_end_as_chat_completions_do(hear):
    _, response = await hear(body=sse(completed(TEXT)) + b"data: [DONE]\n\n")
    assert response.message.text == "Hello."


@pytest.mark.parametrize(
    ("events", "problem", "status"),
    [
        ([event("output_text.delta", delta="Half")], "the answer was cut off", None),
        ([], "the answer was cut off", None),
        ([event("completed")], "the answer ended without a response", None),
        (
            [event("error", code="rate_limit_exceeded", message="Slow down.", param=None)],
            r"Slow down. \(HTTP 429\)",
            429,
        ),
        ([event("error", error={"message": "overloaded", "code": 503})], "overloaded", 503),
        ([{"type": "odd", "error": {"message": "out of memory"}}], "out of memory", None),
        (
            [completed(kind="failed", error={"code": "server_error", "message": "oops"})],
            r"oops \(HTTP 500\)",
            500,
        ),
        ([event("failed")], '{"type":"response.failed"}', None),
    ],
)
async def test_streams_that_break(events, problem, status, hear):
    with pytest.raises(ProviderError, match=f"^test: {problem}") as caught:
        await hear(*events, body=None if events else b": hi\n\n")
    assert caught.value.status == status
    assert caught.value.retryable is (status is not None or problem.startswith("the answer "))


@pytest.mark.parametrize("data", [b'{"type": "respo', b"[]", b"1"])
async def test_pieces_that_are_no_json(data, hear):
    with pytest.raises(ProviderError, match="a piece of the answer is not a JSON object"):
        await hear(body=b"data: " + data + b"\n\n")
