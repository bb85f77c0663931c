"""Answers the real API gave, read by us and by its own SDK."""

import json

import httpx2
import openai
import pytest
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from pydantic import TypeAdapter
from shared import answer_of

from llmspell.providers.endpoints import Endpoint
from llmspell.providers.messages import Message, ModelRequest, TextDelta, ToolCallDelta, Usage
from llmspell.providers.openai_chat import OpenAIChat
from llmspell.providers.openai_responses import OpenAIResponses
from llmspell.providers.openai_responses_body import request_body

pytestmark = pytest.mark.anyio

ENDPOINT = Endpoint("openai", "https://api.openai.com/v1", key="sk-no-such-key-0123456789")
OFFICIAL = TypeAdapter(ResponseCreateParamsNonStreaming)
REQUEST = ModelRequest("openai/m", (Message.of("user", "hi"),))


@pytest.fixture(scope="module")
def exchanges(recorded):
    return recorded("langchain-openai==1.7.4")


def replying(exchange):
    kind = "text/event-stream" if exchange.streamed else "application/json"

    def reply(_request):
        headers = {"content-type": kind}
        return httpx2.Response(exchange.status, content=exchange.answer, headers=headers)

    return httpx2.MockTransport(reply)


def sdk_at(exchange):
    client = httpx2.AsyncClient(transport=replying(exchange))
    return openai.AsyncOpenAI(api_key="sk-test", http_client=client, max_retries=0)


async def ours(kind, exchange):
    """The answer as we read it, and the deltas if it was streamed."""
    provider = kind(ENDPOINT, transport=replying(exchange), max_retries=0)
    return await answer_of(provider, REQUEST, stream=exchange.streamed)


def joined(deltas):
    """The text of deltas, and the name and arguments of each call in them."""
    text = "".join([d.text for d in deltas if isinstance(d, TextDelta)])
    calls = {}
    for delta in deltas:
        if isinstance(delta, ToolCallDelta):
            name, arguments = calls.get(delta.index, ("", ""))
            calls[delta.index] = (name + delta.name, arguments + delta.arguments)
    return text, [(name, json.loads(arguments or "{}")) for name, arguments in calls.values()]


def check_deltas(response, deltas):
    text, calls = joined(deltas)
    assert text == response.message.text
    assert calls == [(c.name, c.arguments) for c in response.message.tool_calls]


async def test_every_recorded_response_is_read_as_the_sdk_reads_it(exchanges):
    found = [e for e in exchanges if "input" in e.request and "encoding_format" not in e.request]
    found = [e for e in found if e.status == 200]
    assert len(found) > 150
    for exchange in found:
        response, deltas = await ours(OpenAIResponses, exchange)
        async with sdk_at(exchange) as sdk:
            theirs = await sdk.responses.create(model="m", input="", stream=exchange.streamed)
            if exchange.streamed:
                last = [event async for event in theirs][-1]
                theirs = last.response
        calls = [item for item in theirs.output if item.type == "function_call"]
        assert response.message.text == theirs.output_text, exchange.name
        assert [(c.id, c.name, c.arguments) for c in response.message.tool_calls] == [
            (c.call_id, c.name, json.loads(c.arguments)) for c in calls
        ]
        assert response.usage == Usage(
            theirs.usage.input_tokens,
            theirs.usage.output_tokens,
            theirs.usage.input_tokens_details.cached_tokens,
            theirs.usage.output_tokens_details.reasoning_tokens,
            getattr(theirs.usage.input_tokens_details, "cache_write_tokens", None) or 0,
        )
        assert (response.id, response.model) == (theirs.id, f"openai/{theirs.model}")
        if exchange.streamed:
            check_deltas(response, deltas)
        check_what_goes_back(response, theirs)


def check_what_goes_back(response, theirs):
    """In its order, and each item that is neither message nor call exactly as it came."""
    request = ModelRequest("openai/m", (response.message,), extra_body={"store": True})
    body = request_body(request, "m", ENDPOINT)
    OFFICIAL.validate_python(body)
    given = [item for item in theirs.output if not (item.type == "message" and not item.content)]
    assert [item["type"] for item in body["input"]] == [item.type for item in given]
    for item, was in zip(body["input"], given, strict=True):
        if item["type"] == "message":
            assert item.get("phase") == was.phase
            assert item["content"] == "".join([part.text for part in was.content])
        elif item["type"] == "function_call":
            assert item["call_id"] == was.call_id
            assert item.get("namespace") == was.namespace
        else:
            assert item == was.to_dict(mode="json", exclude_unset=True)


async def test_every_recorded_chat_completion_is_read_as_the_sdk_reads_it(exchanges):
    found = [e for e in exchanges if "messages" in e.request]
    assert found
    for exchange in found:
        response, deltas = await ours(OpenAIChat, exchange)
        async with sdk_at(exchange) as sdk:
            if exchange.streamed:
                theirs = await whole_chat(sdk, exchange)
                check_deltas(response, deltas)
            else:
                theirs = await sdk.chat.completions.create(model="m", messages=[])
        message = theirs.choices[0].message
        assert response.message.text == (message.content or "")
        assert [(c.id, c.name, c.arguments) for c in response.message.tool_calls] == [
            (c.id, c.function.name, json.loads(c.function.arguments))
            for c in message.tool_calls or []
        ]
        reason = "tool_calls" if message.tool_calls else theirs.choices[0].finish_reason
        assert response.finish_reason == reason
        counted = (
            (theirs.usage.prompt_tokens, theirs.usage.completion_tokens) if theirs.usage else (0, 0)
        )
        assert (response.usage.input_tokens, response.usage.output_tokens) == counted


async def whole_chat(sdk, exchange):
    """The chunks of a stream, put together by the SDK."""
    async with sdk.chat.completions.stream(model="m", messages=[]) as stream:
        return await stream.get_final_completion()


async def test_a_recorded_refusal_of_the_api_says_why(exchanges):
    (exchange,) = [e for e in exchanges if e.status == 401]
    with pytest.raises(Exception, match=r"(?m)^openai: .* \(HTTP 401\)$"):
        await ours(OpenAIResponses, exchange)
