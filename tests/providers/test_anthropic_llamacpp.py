"""Anthropic's protocol against a real server that speaks it: llama.cpp, with real weights."""

import anyio.from_thread
import pytest

from llmspell.errors import ProviderError
from llmspell.providers.anthropic_messages import AnthropicMessages
from llmspell.providers.endpoints import Endpoint
from llmspell.providers.llamacpp_server import LocalServer
from llmspell.providers.messages import (
    Message,
    ModelRequest,
    Text,
    TextDelta,
    ToolCallDelta,
    ToolResult,
    ToolSpec,
)

pytestmark = pytest.mark.anyio

CAPITAL = "What is the capital of France?"
PARIS = "The capital of France is Paris."
WEATHER = ToolSpec(
    "get_weather",
    "Get the current weather in a city.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)


@pytest.fixture(scope="module")
def endpoint():
    with anyio.from_thread.start_blocking_portal() as portal:
        server = LocalServer()
        url = portal.call(server.start)
        yield Endpoint("here", url, "LOCAL_KEY", server.api_key)
        portal.call(server.close)


@pytest.fixture
async def provider(endpoint):
    provider = AnthropicMessages(endpoint)
    yield provider
    await provider.close()


def request(*messages, **fields):
    fields = {"temperature": 0, "max_tokens": 64, "tools": ()} | fields
    return ModelRequest("here/smollm2", messages, **fields)


async def streamed(provider, asked):
    *deltas, response = [part async for part in provider.stream(asked)]
    return deltas, response


async def test_it_answers(provider):
    asked = request(Message.of("user", CAPITAL))
    whole = await provider.complete(asked)
    assert whole.message == Message.of("assistant", PARIS)
    assert (whole.finish_reason, whole.model) == ("stop", "here/smollm2")
    assert whole.usage.output_tokens == 8
    assert whole.usage.input_tokens > 8
    deltas, response = await streamed(provider, asked)
    assert "".join([delta.text for delta in deltas if isinstance(delta, TextDelta)]) == PARIS
    assert len(deltas) > 3
    assert response.message == whole.message
    assert response.usage.output_tokens == 8


async def test_an_answer_that_is_too_long(provider):
    response = await provider.complete(request(Message.of("user", CAPITAL), max_tokens=3))
    assert response.finish_reason == "length"


async def test_a_tool_is_called_and_its_result_used(provider):
    asked = request(
        Message.of("user", "What is the weather in Paris?"),
        tools=(WEATHER,),
        tool_choice="required",
        system="Use the tools.",
    )
    whole = await provider.complete(asked)
    (call,) = whole.message.tool_calls
    assert (call.name, whole.finish_reason) == ("get_weather", "tool_calls")
    assert call.problem is None
    deltas, response = await streamed(provider, asked)
    (streamed_call,) = response.message.tool_calls
    assert (streamed_call.name, streamed_call.arguments) == (call.name, call.arguments)
    parts = [delta for delta in deltas if isinstance(delta, ToolCallDelta)]
    assert (parts[0].name, parts[0].id) == (call.name, streamed_call.id)
    result = Message.of("tool", ToolResult(call.id, (Text("12 degrees and rain"),)))
    answer = await provider.complete(
        request(*asked.messages, whole.message, result, tools=(WEATHER,), tool_choice="none")
    )
    assert answer.message.text


async def test_output_comes_by_a_tool(provider):
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    response = await provider.complete(request(Message.of("user", CAPITAL), output=schema))
    assert response.message.text.startswith('{"city":"')


async def test_its_refusals(endpoint):
    provider = AnthropicMessages(Endpoint("here", endpoint.base_url, "LOCAL_KEY", "wrong-key"))
    with pytest.raises(ProviderError) as caught:
        await provider.complete(request(Message.of("user", "hi")))
    await provider.close()
    assert caught.value.status == 401


async def test_its_models(provider):
    assert await provider.list_models() == ["smollm2"]
