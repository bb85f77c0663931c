import json

import anyio
import pytest
from anyio.lowlevel import checkpoint

from llmspell.errors import ConfigError, ProviderError
from llmspell.providers.messages import (
    Message,
    ModelRequest,
    ModelResponse,
    Reasoning,
    ReasoningDelta,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    Usage,
)
from llmspell.providers.models import Models
from llmspell.providers.scripted import ScriptedProvider

pytestmark = pytest.mark.anyio


def asked(*messages, **fields):
    return ModelRequest("scripted/any", messages or (Message.of("user", "hi there"),), **fields)


async def test_replies_come_in_turn_and_requests_are_kept():
    model = ScriptedProvider(["one", "two"])
    first, second = asked(), asked(system="Be brief.")
    assert (await model.complete(first)).message == Message.of("assistant", "one")
    assert model.remaining == 1
    with pytest.raises(AssertionError, match="1 of 2 replies were used"):
        model.assert_done()
    assert (await model.complete(second)).message.text == "two"
    model.assert_done()
    assert model.requests == [first, second]
    await model.close()


async def test_it_runs_out_with_a_clear_error():
    model = ScriptedProvider("one")
    await model.complete(asked())
    with pytest.raises(ProviderError) as caught:
        await model.complete(asked())
    assert caught.value.message == "the script has no reply for request 2; there are 1"
    assert not caught.value.retryable
    assert len(model.requests) == 2


async def test_tool_calls_get_ids_that_are_unique_in_the_conversation():
    model = ScriptedProvider(
        [ToolCall("", "now"), ["Wait.", ToolCall("", "now"), ToolCall("x", "b")]]
    )
    first = await model.complete(asked())
    assert first.finish_reason == "tool_calls"
    assert [call.id for call in first.message.tool_calls] == ["call00001"]
    second = await model.complete(asked(first.message))
    assert [call.id for call in second.message.tool_calls] == ["call00002", "x"]
    assert second.message.text == "Wait."


async def test_a_broken_tool_call_can_be_scripted():
    broken = ToolCall("", "now", {}, "the arguments are not valid JSON", "{")
    (call,) = (await ScriptedProvider([broken]).complete(asked())).message.tool_calls
    assert call == ToolCall("call00001", "now", {}, "the arguments are not valid JSON", "{")


async def test_whole_messages_and_responses():
    response = ModelResponse(Message.of("assistant", "Half"), Usage(1, 2), "length", "a/b", "id")
    message = Message.of("assistant", "Yes.")
    model = ScriptedProvider([response, message])
    assert await model.complete(asked()) is response
    second = await model.complete(asked())
    assert (second.message, second.finish_reason, second.model) == (message, "stop", "scripted/any")


async def test_errors_are_raised():
    error = ProviderError("overloaded", status=503, retryable=True)
    model = ScriptedProvider([error, "better"])
    with pytest.raises(ProviderError) as caught:
        await model.complete(asked())
    assert caught.value is error
    assert (await model.complete(asked())).message.text == "better"


async def test_functions_decide_when_the_request_comes():
    async def later(request):
        return request.messages[-1].text.upper()

    model = ScriptedProvider([lambda r: ["You said ", r.messages[-1].text], later])
    assert (await model.complete(asked())).message.text == "You said hi there"
    assert (await model.complete(asked())).message.text == "HI THERE"


async def test_one_function_answers_everything():
    model = ScriptedProvider(lambda request: str(len(request.messages)))
    assert [(await model.complete(asked())).message.text for _ in range(3)] == ["1"] * 3
    model.assert_done()


async def test_tokens_are_counted_by_the_length_of_what_was_said():
    model = ScriptedProvider(["12345678"])
    result = Message.of("tool", ToolResult("a", (Text("12345"),)))
    response = await model.complete(asked(Message.of("user", "1234"), result, system="123"))
    assert response.usage == Usage(input_tokens=3, output_tokens=2)


async def test_a_script_in_a_file(tmp_path):
    script = tmp_path / "script.json"
    call = {"name": "weather", "arguments": {"city": "Oslo"}}
    script.write_text(
        json.dumps(
            [
                {"text": "Let me see.", "tool_calls": [call]},
                {"error": "overloaded", "status": 503, "retryable": True},
                "4 °C",
            ]
        ),
        "utf-8",
    )
    model = ScriptedProvider.from_file(script, name="weather")
    first = (await model.complete(asked())).message
    assert first == Message.of(
        "assistant", "Let me see.", ToolCall("call00001", "weather", {"city": "Oslo"})
    )
    with pytest.raises(ProviderError) as caught:
        await model.complete(asked())
    assert (caught.value.status, caught.value.retryable) == (503, True)
    assert (await model.complete(asked())).message.text == "4 °C"
    model.assert_done()
    assert model.name == "weather"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[", "it cannot be read"),
        ("{}", "it must hold a list of replies"),
        ("[1]", "reply 1: it must be a string or an object"),
        ('["a", {}]', "reply 2: it needs text, tool_calls or error"),
        ('[{"txt": "a"}]', "reply 1: it needs text, tool_calls or error"),
        ('[{"tool_calls": [{}]}]', "reply 1: tool_calls must be a list of objects with a name"),
        ('[{"tool_calls": "now"}]', "reply 1: tool_calls must be a list of objects with a name"),
    ],
)
async def test_a_file_that_is_no_script(text, problem, tmp_path):
    script = tmp_path / "script.json"
    script.write_text(text)
    with pytest.raises(ConfigError, match=problem):
        ScriptedProvider.from_file(script)


async def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="it cannot be read"):
        ScriptedProvider.from_file(tmp_path / "none.json")


async def test_a_provider_that_cannot_stream_answers_in_one_piece():
    class Whole:
        name = "whole"

        async def complete(self, request):
            call = ToolCall("a", "now", {"x": 1})
            said = Message.of("assistant", Reasoning("whole", "Hm."), "Yes.", call)
            return ModelResponse(said, model=request.model)

        async def close(self):
            pass

    models = Models(None, {}, {}, providers=[Whole()])
    parts = [part async for part in models.stream(ModelRequest("whole/m", ()))]
    assert parts[:3] == [
        ReasoningDelta("Hm."),
        TextDelta("Yes."),
        ToolCallDelta(0, "a", "now", '{"x":1}'),
    ]
    assert parts[3].message.text == "Yes."
    assert len(parts) == 4


async def test_whoever_is_cancelled_closes_all_providers():
    closed = []

    def provider(name):
        async def close():
            closed.append(name)
            await checkpoint()

        made = ScriptedProvider([])
        made.name, made.close = name, close
        return made

    models = Models(None, {}, {}, providers=[provider("a"), provider("b")])
    with anyio.CancelScope() as scope:
        scope.cancel()
        await models.close()
    assert sorted(closed) == ["a", "b"]
