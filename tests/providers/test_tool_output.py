"""Structured output by way of a tool."""

import json

import pytest

from llmspell.providers.endpoints import open_provider
from llmspell.providers.messages import (
    Message,
    ModelRequest,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolSpec,
)
from llmspell.providers.scripted import ScriptedProvider
from llmspell.providers.settings import ProviderSettings
from llmspell.providers.tool_output import ToolOutput
from llmspell.testing.fakes import FakeServer

pytestmark = pytest.mark.anyio

CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
ASKED = (Message.of("user", "Where?"),)


async def answer(*said, output=CITY, **fields):
    """The response, what of it was streamed, and the request the model got."""
    request = ModelRequest("scripted/m", ASKED, output=output, **fields)
    whole = await ToolOutput(ScriptedProvider([list(said)])).complete(request)
    model = ScriptedProvider([list(said)])
    *deltas, streamed = [part async for part in ToolOutput(model).stream(request)]
    assert streamed == whole
    return whole, deltas, model.requests[0]


async def test_the_model_answers_by_calling_a_tool():
    response, deltas, asked = await answer("So:", ToolCall("a", "final_answer", {"city": "Oslo"}))
    assert response.message == Message.of("assistant", '{"city":"Oslo"}')
    assert response.finish_reason == "stop"
    assert deltas[-1] == TextDelta('{"city":"Oslo"}')
    (tool,) = asked.tools
    assert (asked.output, asked.tool_choice, tool.schema) == (None, "final_answer", CITY)


async def test_other_tools_can_be_called_before():
    now = ToolCall("a", "now")
    response, deltas, asked = await answer(now, tools=(ToolSpec("now"),))
    assert response.message.content == (now,)
    assert response.finish_reason == "tool_calls"
    assert [type(delta) for delta in deltas] == [ToolCallDelta]
    assert [tool.name for tool in asked.tools] == ["now", "final_answer"]
    assert asked.tool_choice == "required"


@pytest.mark.parametrize(
    ("wanted", "choice"),
    [("none", "final_answer"), ("auto", "required"), ("required", "required"), ("now", "now")],
)
async def test_a_choice_of_tools_is_heeded(wanted, choice):
    final = ToolCall("a", "final_answer", {"city": "Oslo"})
    _, _, asked = await answer(final, tools=(ToolSpec("now"),), tool_choice=wanted)
    assert asked.tool_choice == choice


async def test_an_answer_beside_other_calls_came_too_early():
    now = ToolCall("a", "now")
    early = ToolCall("b", "final_answer", {"city": "Oslo"})
    response, deltas, _ = await answer(now, early, tools=(ToolSpec("now"),))
    assert response.message.content == (now,)
    assert response.finish_reason == "tool_calls"
    assert [delta.name for delta in deltas] == ["now"]


async def test_what_is_no_object_stands_within_one():
    numbers = {"type": "array", "items": {"type": "integer"}}
    call = ToolCall("a", "final_answer", {"answer": [1, 2]})
    response, deltas, asked = await answer(call, output=numbers)
    assert json.loads(response.message.text) == [1, 2]
    assert deltas == [TextDelta("[1,2]")]
    assert asked.tools[0].schema["properties"] == {"answer": numbers}


async def test_arguments_that_are_no_json_are_the_answer_to_be_mended():
    call = ToolCall("a", "final_answer", problem="not JSON", raw='{"city": Os')
    response, _, _ = await answer(call)
    assert response.message.content == (Text('{"city": Os'),)


async def test_a_model_that_just_talks_is_let_talk():
    response, deltas, _ = await answer("In Oslo.")
    assert response.message.text == "In Oslo."
    assert "".join(delta.text for delta in deltas) == "In Oslo."


async def test_a_tool_of_that_name_is_not_shadowed():
    _, _, asked = await answer("hi", tools=(ToolSpec("final_answer"),))
    assert [tool.name for tool in asked.tools] == ["final_answer", "final_answer_"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("output", "tools"), [(CITY, 1), (None, 0)])
async def test_a_quirk_asks_for_it(output, tools, stream):
    own = ProviderSettings("http://gpu/v1", quirks={"output": "tool"})
    server = FakeServer(ToolCall("a", "final_answer", {"city": "Oslo"}) if output else "hi")
    provider = open_provider("gpu", {"gpu": own}, {}, transport=server.transport())
    request = ModelRequest("gpu/m", ASKED, output=output)
    if stream:
        *_, response = [part async for part in provider.stream(request)]
    else:
        response = await provider.complete(request)
    await provider.close()
    assert response.message.text == ('{"city":"Oslo"}' if output else "hi")
    assert len(server.requests[0].json.get("tools", ())) == tools
