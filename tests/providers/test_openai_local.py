"""Both of OpenAI's protocols with a real llama.cpp server, whole and streamed."""

import json
from contextlib import aclosing

import anyio
import anyio.from_thread
import pytest

from llmspell.providers.endpoints import Endpoint
from llmspell.providers.llamacpp_server import LocalServer
from llmspell.providers.local_provider import LocalProvider
from llmspell.providers.messages import (
    Message,
    ModelRequest,
    Text,
    TextDelta,
    ToolCallDelta,
    ToolResult,
    ToolSpec,
)
from llmspell.providers.openai_chat import OpenAIChat
from llmspell.providers.openai_responses import OpenAIResponses
from llmspell.providers.quirks import Quirks
from llmspell.providers.tool_output import ToolOutput

pytestmark = pytest.mark.anyio

FRANCE = Message.of("user", "What is the capital of France?")
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = ToolSpec("get_weather", "Get the current weather in a city.", CITY)
NUMBERS = {name: {"type": "number"} for name in ("a", "b")}
ADD = ToolSpec(
    "add", "Add two numbers.", {"type": "object", "properties": NUMBERS, "required": ["a", "b"]}
)
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def server():
    with anyio.from_thread.start_blocking_portal() as portal:
        local = LocalServer()
        yield portal.call(local.start), local.api_key
        portal.call(local.close)


@pytest.fixture(params=["openai", "openai-responses"])
async def provider(request, server):
    kinds = {"openai": OpenAIChat, "openai-responses": OpenAIResponses}
    url, key = server
    quirks = Quirks(reasoning="template", named_choice=False)
    opened = kinds[request.param](
        Endpoint("llamacpp", url, key=key, kind=request.param, quirks=quirks)
    )
    yield opened
    await opened.close()


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def ask(request):
    """The response and the deltas."""

    async def asking(provider, *messages, **fields):
        fields = {"temperature": 0, "max_tokens": 64} | fields
        wanted = ModelRequest("llamacpp/smollm2", messages, **fields)
        if not request.param:
            return await provider.complete(wanted), []
        async with aclosing(provider.stream(wanted)) as parts:
            *deltas, response = [part async for part in parts]
        text = "".join([d.text for d in deltas if isinstance(d, TextDelta)])
        assert text == response.message.text
        return response, deltas

    return asking


async def test_a_question(provider, ask):
    response, deltas = await ask(provider, FRANCE)
    assert response.message == Message.of("assistant", "The capital of France is Paris.")
    assert response.finish_reason == "stop"
    assert response.usage.input_tokens > 8
    assert response.usage.output_tokens == 8
    assert deltas == [] or len(deltas) > 3


async def test_an_answer_that_is_cut_off(provider, ask):
    response, _ = await ask(provider, FRANCE, max_tokens=3)
    assert response.message.text == "The capital of"
    if isinstance(provider, OpenAIChat):  # llama.cpp's Responses say all is well
        assert response.finish_reason == "length"


async def test_a_tool_and_what_becomes_of_its_result(provider, ask):
    question = Message.of("user", "What is the weather in Oslo?")
    tools = (WEATHER, ADD)
    response, deltas = await ask(provider, question, tools=tools)
    (call,) = response.message.tool_calls
    assert (call.name, call.arguments) == ("get_weather", {"city": "Oslo"})
    assert response.finish_reason == "tool_calls"
    if deltas:
        written = "".join([d.arguments for d in deltas if isinstance(d, ToolCallDelta)])
        assert json.loads(written) == {"city": "Oslo"}
    result = ToolResult(call.id, (Text('{"temperature": 4, "sky": "rain"}'),))
    response, _ = await ask(
        provider, question, response.message, Message.of("tool", result), tools=tools
    )
    assert "rain" in response.message.text


async def test_a_tool_it_has_to_call(provider, ask):
    question = Message.of("user", "Add 17 and 25.")
    tools = (WEATHER, ADD)
    response, _ = await ask(provider, question, tools=tools, tool_choice="add")
    (call,) = response.message.tool_calls
    assert (call.name, call.arguments) == ("add", {"a": 17, "b": 25})


async def test_output_that_fits_a_schema(provider, ask):
    if isinstance(provider, OpenAIResponses):  # llama.cpp's take no schema
        provider = ToolOutput(provider)
    anna = Message.of("user", "Anna is 31 years old.")
    response, _ = await ask(provider, anna, output=PERSON)
    assert json.loads(response.message.text) == {"name": "Anna", "age": 31}
    assert response.finish_reason == "stop"


async def test_settings_and_what_the_server_does_not_know_do_no_harm(provider, ask):
    response, _ = await ask(
        provider, FRANCE, top_p=0.9, seed=7, reasoning="none", parallel_tool_calls=True
    )
    assert "Paris" in response.message.text


async def test_the_embedded_model_streams():
    embedded = LocalProvider()
    request = ModelRequest("local/smollm2", (FRANCE,), temperature=0)
    try:
        async with aclosing(embedded.stream(request)) as parts:
            *deltas, response = [part async for part in parts]
    finally:
        await embedded.close()
    assert response.message.text == "The capital of France is Paris."
    assert len(deltas) > 3
