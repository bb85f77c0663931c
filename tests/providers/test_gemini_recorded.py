"""What Google's servers really said, read by us and by their own SDK.

The recordings are those an instrumentation of the SDK is tested with. They are fetched, not kept here.
"""

import httpx2
import pytest
from google import genai
from shared import answer_of

from llmspell.providers.endpoints import Endpoint
from llmspell.providers.gemini import Gemini
from llmspell.providers.gemini_content import conversation
from llmspell.providers.gemini_models import traits
from llmspell.providers.messages import Message, ModelRequest, TextDelta

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]

MODEL = "gemini-3.8-flash"
ENDPOINT = Endpoint("google", "https://generativelanguage.googleapis.com", "GEMINI_API_KEY", "key")
REQUEST = ModelRequest(f"google/{MODEL}", (Message.of("user", "hi"),))


@pytest.fixture(scope="module")
def answers(recorded):
    """Those of `generateContent`; there are embeddings and other things beside them."""
    everything = recorded("openinference-instrumentation-google-genai==1.4.14")
    return [e for e in everything if e.status == 200 and b'"candidates"' in e.answer]


def transport(answer):
    kind = "text/event-stream" if answer.streamed else "application/json"
    return httpx2.MockTransport(
        lambda _: httpx2.Response(200, content=answer.answer, headers={"content-type": kind})
    )


async def read_by_the_sdk(answer):
    """The chunks it came in."""
    async with httpx2.AsyncClient(transport=transport(answer)) as client:
        sdk = genai.Client(api_key="key", http_options={"httpx_async_client": client})
        ask = {"model": MODEL, "contents": "hi"}
        if not answer.streamed:
            return [await sdk.aio.models.generate_content(**ask)]
        return [chunk async for chunk in await sdk.aio.models.generate_content_stream(**ask)]


async def read_by_us(answer):
    provider = Gemini(ENDPOINT, transport=transport(answer))
    response, deltas = await answer_of(provider, REQUEST, stream=answer.streamed)
    shown = "".join([delta.text for delta in deltas if isinstance(delta, TextDelta)])
    return response, shown if answer.streamed else None


def parts_of(chunks):
    return [
        part
        for chunk in chunks
        for candidate in chunk.candidates or ()
        for part in (candidate.content and candidate.content.parts) or ()
    ]


async def test_every_answer_says_what_the_official_sdk_reads(answers):
    assert len(answers) > 20
    assert sum(answer.streamed for answer in answers) > 5
    for answer in answers:
        chunks = await read_by_the_sdk(answer)
        ours, shown = await read_by_us(answer)
        parts = parts_of(chunks)
        text = "".join([part.text or "" for part in parts if not part.thought])
        assert ours.message.text == text, answer.name
        assert shown in (None, text), answer.name
        assert ours.message.reasoning == "".join([p.text or "" for p in parts if p.thought])
        assert [(c.name, c.arguments) for c in ours.message.tool_calls] == [
            (part.function_call.name, part.function_call.args or {})
            for part in parts
            if part.function_call
        ], answer.name
        used = chunks[-1].usage_metadata
        thoughts = used.thoughts_token_count or 0
        asked = (used.prompt_token_count or 0) + (used.tool_use_prompt_token_count or 0)
        assert (ours.usage.input_tokens, ours.usage.output_tokens, ours.usage.reasoning_tokens) == (
            asked,
            (used.candidates_token_count or 0) + thoughts,
            thoughts,
        ), answer.name
        assert ours.usage.cached_tokens == (used.cached_content_token_count or 0)
        assert ours.model == f"google/{chunks[-1].model_version}"
        assert ours.id == (chunks[-1].response_id or "")
        called = bool(ours.message.tool_calls)
        assert ours.finish_reason == ("tool_calls" if called else "stop"), answer.name


async def test_every_signature_is_given_back_with_its_part(answers):
    signed = 0
    for answer in answers:
        ours, _ = await read_by_us(answer)
        theirs = [
            part for part in parts_of(await read_by_the_sdk(answer)) if part.thought_signature
        ]
        (turn,) = conversation([ours.message], traits("gemini-2.0"), ENDPOINT)
        content = genai.types.Content.model_validate(turn)
        again = [part for part in content.parts if part.thought_signature]
        if theirs:
            assert without_ids(again) == without_ids(theirs), answer.name
            signed += len(theirs)
    assert signed


def without_ids(parts):
    """Calls that came without an id have got one."""
    dumped = [part.model_dump(exclude_none=True) for part in parts]
    for part in dumped:
        part.get("function_call", {}).pop("id", None)
    return dumped
