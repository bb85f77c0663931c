"""What Anthropic's servers really said, read by us and by their own SDK.

The recordings are those langchain-anthropic is tested with. They are fetched, not kept here.
"""

import anthropic
import httpx2
import pytest
from shared import answer_of

from llmspell.providers.anthropic_content import conversation
from llmspell.providers.anthropic_messages import AnthropicMessages
from llmspell.providers.endpoints import Endpoint
from llmspell.providers.messages import Message, ModelRequest, ModelResponse, TextDelta

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]

ENDPOINT = Endpoint("anthropic", "https://api.anthropic.com", "ANTHROPIC_API_KEY", "sk-ant-test")
REQUEST = ModelRequest("anthropic/claude-haiku-5-5", (Message.of("user", "hi"),))


@pytest.fixture(scope="module")
def answers(recorded):
    return recorded("langchain-anthropic==1.7.10")


def transport(answer):
    kind = "text/event-stream" if answer.streamed else "application/json"
    return httpx2.MockTransport(
        lambda _: httpx2.Response(200, content=answer.answer, headers={"content-type": kind})
    )


async def read_by_the_sdk(answer):
    async with anthropic.AsyncAnthropic(
        api_key="sk-ant-test", http_client=httpx2.AsyncClient(transport=transport(answer))
    ) as sdk:
        asked = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}
        if not answer.streamed:
            return await sdk.beta.messages.create(**asked)
        async with sdk.beta.messages.stream(**asked) as stream:
            return await stream.get_final_message()


async def read_by_us(answer):
    provider = AnthropicMessages(ENDPOINT, transport=transport(answer))
    response, deltas = await answer_of(provider, REQUEST, stream=answer.streamed)
    assert isinstance(response, ModelResponse)
    shown = "".join([delta.text for delta in deltas if isinstance(delta, TextDelta)])
    return response, shown if answer.streamed else None


async def test_every_answer_says_what_the_official_sdk_reads(answers):
    assert len(answers) > 40
    assert sum(answer.streamed for answer in answers) > 10
    for answer in answers:
        theirs = (await read_by_the_sdk(answer)).to_dict()
        ours, shown = await read_by_us(answer)
        blocks = theirs["content"]
        text = "".join([b["text"] for b in blocks if b["type"] == "text"])
        assert ours.message.text == text, answer.name
        assert shown in (None, text), answer.name
        assert [(c.id, c.name, c.arguments) for c in ours.message.tool_calls] == [
            (b["id"], b["name"], b["input"]) for b in blocks if b["type"] == "tool_use"
        ], answer.name
        assert ours.message.reasoning == "".join(
            [b["thinking"] for b in blocks if b["type"] == "thinking"]
        ), answer.name
        used = theirs["usage"]
        read = used.get("cache_read_input_tokens") or 0
        written = used.get("cache_creation_input_tokens") or 0
        assert (ours.usage.input_tokens, ours.usage.output_tokens) == (
            used["input_tokens"] + read + written,
            used["output_tokens"],
        ), answer.name
        assert (ours.usage.cached_tokens, ours.usage.cache_written_tokens) == (read, written)
        assert (ours.id, ours.model) == (theirs["id"], f"anthropic/{theirs['model']}")
        expected = {"tool_use": "tool_calls", "end_turn": "stop"}
        reason = theirs["stop_reason"]
        assert ours.finish_reason == expected.get(reason, reason), answer.name


async def test_every_answer_is_given_back_as_it_came(answers):
    """Thoughts with their signatures, server tools, citations: all of it, in its place.

    Only blank texts are missing, which the API writes but does not read.
    """
    for answer in answers:
        ours, _ = await read_by_us(answer)
        if ours.message.content:
            (turn,) = conversation([ours.message], ENDPOINT)
            theirs = (await read_by_the_sdk(answer)).to_dict()["content"]
            theirs = [b for b in theirs if b["type"] != "text" or b["text"].strip()]
            assert without_nulls(turn["content"]) == without_nulls(theirs), answer.name


def without_nulls(value):
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    if isinstance(value, dict):
        return {n: without_nulls(item) for n, item in value.items() if item is not None}
    return value
