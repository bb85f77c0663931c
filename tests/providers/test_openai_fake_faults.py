"""Everything that goes wrong with a server, over a real socket, in both of OpenAI's protocols."""

import time
import traceback
from contextlib import aclosing

import anyio
import pytest

from llmspell.errors import ProviderError
from llmspell.providers.catalogue import Endpoint
from llmspell.providers.messages import (
    Extra,
    Message,
    ModelRequest,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)
from llmspell.providers.openai_chat import OpenAIChat
from llmspell.providers.openai_responses import OpenAIResponses
from llmspell.testing.fakes import FAULTS, Answer, FakeServer, Reasoning

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("impatient")]

KEY = "sk-proj-Zx81_qLw7TtRb29vNhYc3KdM5pGa0XfE6sUj4oWi"
REQUEST = ModelRequest("test/gpt", (Message.of("user", "hi"),))
KINDS = {"openai": OpenAIChat, "openai-responses": OpenAIResponses}

# The error, and how often the server is asked.
ERRORS = {
    "401": (r"Incorrect API key provided. \(HTTP 401\)", 1),
    "403": (r"You may not use this model. \(HTTP 403\)", 1),
    "404": (r"There is no such model. \(HTTP 404\)", 1),
    "429": (r"Slow down. \(HTTP 429\)", 3),
    "500": (r"out of memory \(HTTP 500\)", 3),
    "503": (r"overloaded \(HTTP 503\)", 3),
    "slow first byte": ("no answer within 0.3 seconds", 1),
    "stall in the answer": ("the answer stopped for 0.3 seconds", 1),
    "wrong content type": ("the answer is text/html, not (JSON|a stream of events)", 1),
    "dropped before the answer": ("the connection was lost before an answer came", 3),
    "dropped in the answer": ("the connection was lost in the middle of the answer", 1),
    "error in the answer": ("no GPU is free", 1),
}
# Where only one of the two ways ends in an error.
WHOLE = {
    "truncated JSON": ("the answer is not JSON, or not all of it", 1),
    "invalid SSE": ("the answer is not JSON, or not all of it", 1),
}
STREAMED = {
    "truncated JSON": ("the answer ended in the middle|a piece of the answer is not a JSON", 1),
    "stream without its end": ("the answer ended in the middle", 1),
    "invalid SSE": ("a piece of the answer is not a JSON object", 1),
}
# An answer without choices is one without items in the other protocol, which says nothing wrong.
CHAT = {"no choices": ("the answer has no choices", 1)}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def stream(request):
    return request.param


@pytest.fixture
def ask(kind, stream):
    """The response, the deltas, and the server."""

    async def asking(said, **fields):
        fields = {"key": KEY, "timeout": 5.0} | fields
        async with FakeServer(said) as server:
            endpoint = Endpoint("test", f"{server.url}/v1", kind=kind, **fields)
            provider = KINDS[kind](endpoint)
            try:
                deltas, response = await parts_of(provider, stream=stream)
            except ProviderError as error:
                error.asked = len(server.requests)
                raise
            finally:
                await provider.close()
        return response, deltas, server

    return asking


async def parts_of(provider, *, stream):
    if not stream:
        return [], await provider.complete(REQUEST)
    async with aclosing(provider.stream(REQUEST)) as parts:
        *deltas, response = [part async for part in parts]
    return deltas, response


def expected(name, kind, stream):
    own = STREAMED if stream else WHOLE
    return (ERRORS | own | (CHAT if kind == "openai" else {})).get(name)


@pytest.mark.parametrize("name", [name for name in FAULTS if name != "429 with Retry-After"])
async def test_each_fault_ends_in_its_error_or_does_no_harm(name, ask, kind, stream, caplog):
    caplog.set_level("DEBUG")
    problem = expected(name, kind, stream)
    begin = time.monotonic()
    options = {"timeout": 0.3} if name in ("slow first byte", "stall in the answer") else {}
    if problem is None:
        response, deltas, server = await ask([FAULTS[name]], **options)
        assert len(server.requests) == 1
        if stream:
            text = "".join([d.text for d in deltas if isinstance(d, TextDelta)])
            assert text == response.message.text
    else:
        with pytest.raises(ProviderError, match=f"^test: ({problem[0]})") as caught:
            await ask(FAULTS[name], **options)
        assert caught.value.asked == problem[1]
        shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.as_table())
        assert KEY not in shown
    assert KEY not in caplog.text
    assert time.monotonic() - begin < 10


async def test_a_server_that_asks_to_be_left_alone(ask):
    patient = [FAULTS["429 with Retry-After"], "Hello."]
    with anyio.move_on_after(0.3) as waiting:
        await ask(patient)
    assert waiting.cancelled_caught


async def test_an_unknown_finish_reason_is_told_as_it_is(ask):
    response, _, _ = await ask(FAULTS["unknown finish reason"])
    assert response.message.text == "Hello."
    assert response.finish_reason == "tired"


async def test_unknown_blocks_are_kept(ask):
    response, _, _ = await ask(FAULTS["unknown block"])
    assert response.message.text == "Hello."
    (kept,) = [b for b in response.message.content if isinstance(b, Extra)]
    assert "beam" in repr(kept.data)


async def test_broken_arguments_are_for_the_model_to_mend(ask):
    response, _, _ = await ask(FAULTS["broken tool arguments"])
    (call,) = response.message.tool_calls
    assert (call.raw, call.arguments) == ('{"city": "Os', {})


async def test_each_call_has_an_id_of_its_own(ask):
    response, _, _ = await ask([FAULTS["duplicate ids"]])
    calls = response.message.tool_calls
    assert [c.arguments["city"] for c in calls] == ["Oslo", "Rome"]
    assert len({c.id for c in calls}) == 2


async def test_a_long_answer_comes_whole(ask):
    response, _, _ = await ask(FAULTS["10 MB"], timeout=30.0)
    assert len(response.message.text) == 10_000_000


async def test_what_a_model_thought_comes_before_what_it_says(ask, stream):
    call = ToolCall("call_1", "weather", {"city": "Oslo"})
    response, deltas, _ = await ask(Answer(Reasoning("They ask."), "Let me look.", call))
    assert response.message.reasoning == "They ask."
    assert response.message.text == "Let me look."
    assert response.message.tool_calls == [call]
    assert response.finish_reason == "tool_calls"
    assert response.usage.as_plain() == {
        "input_tokens": 19,
        "output_tokens": 10,
        "cached_tokens": 8,
        "reasoning_tokens": 4,
        "cache_written_tokens": 0,
    }
    kinds = list(dict.fromkeys(type(delta) for delta in deltas))
    assert kinds == ([ReasoningDelta, TextDelta, ToolCallDelta] if stream else [])
