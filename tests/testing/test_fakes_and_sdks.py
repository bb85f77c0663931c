"""The official SDKs, strict about what they read, understand every fake answer."""

import httpx2
import pytest

from llmspell.providers.messages import Refusal, ToolCall
from llmspell.testing.fakes import Answer, FakeServer, Reasoning, trickled

pytestmark = pytest.mark.anyio

TEXT = "Grüße aus Tromsø. 🐻\u2028 Fine."
OSLO = ToolCall("call_1", "weather", {"city": "Oslo", "days": [1, 2]})
NOW = ToolCall("call_2", "now", {})

REASONS = {
    "openai": {"stop": "stop", "length": "length", "tool_calls": "tool_calls"},
    "openai-responses": {
        "stop": "completed",
        "length": "max_output_tokens",
        "tool_calls": "completed",
    },
    "anthropic": {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"},
    "gemini": {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP"},
}


@pytest.fixture(params=["whole", "streamed"])
def hear(request, connect):
    """What an SDK makes of an answer."""

    async def hearing(said):
        async with connect(FakeServer(said)) as sdk:
            return await getattr(sdk, request.param)()

    return hearing


async def test_a_text(hear, protocol):
    heard = await hear(TEXT)
    assert heard.text == TEXT
    assert heard.calls == []
    assert heard.reason == REASONS[protocol]["stop"]
    assert heard.usage == (19, 10)


async def test_calls_of_tools_after_a_text(hear, protocol):
    heard = await hear(Answer("Let me look.", OSLO, NOW))
    assert heard.text == "Let me look."
    assert heard.calls == [(OSLO.name, OSLO.arguments), (NOW.name, NOW.arguments)]
    assert heard.ids == ["call_1", "call_2"]
    assert heard.reason == REASONS[protocol]["tool_calls"]


async def test_a_call_alone(hear):
    heard = await hear(OSLO)
    assert (heard.text, heard.calls) == ("", [(OSLO.name, OSLO.arguments)])


async def test_reasoning(hear):
    heard = await hear(Answer(Reasoning("They greet me."), "Hello."))
    assert (heard.reasoning, heard.text) == ("They greet me.", "Hello.")


async def test_a_refusal(hear, protocol):
    heard = await hear(Refusal("I'm sorry."))
    # Google's SDK has a field for the message, and leaves it empty for this API.
    assert heard.refusal == (None if protocol == "gemini" else "I'm sorry.")
    assert heard.text == ""
    refused = {"anthropic": "refusal", "gemini": "SAFETY"}
    assert heard.reason == refused.get(protocol, REASONS[protocol]["stop"])


async def test_an_answer_that_was_too_long(hear, protocol):
    heard = await hear(Answer("Half an ans", finish_reason="length"))
    assert heard.reason == REASONS[protocol]["length"]


async def test_a_stream_that_trickles(hear):
    heard = await hear(trickled(Answer(TEXT, OSLO)))
    assert (heard.text, heard.calls) == (TEXT, [(OSLO.name, OSLO.arguments)])


async def test_no_two_answers_have_items_of_the_same_id():
    """As with OpenAI, whose server refuses a conversation in which two have."""
    seen = []
    async with httpx2.AsyncClient(
        transport=FakeServer(Answer(Reasoning("Hm."), "Hi.")).transport()
    ) as client:
        for said in ("one", "two"):
            body = {"model": "any", "input": said}
            answer = await client.post("http://fake/v1/responses", json=body)
            seen += [item["id"] for item in answer.json()["output"]]
    assert len(set(seen)) == len(seen) == 4
