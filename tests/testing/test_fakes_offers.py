"""What fake servers have besides answers, as the official SDKs and we read it."""

import anthropic
import httpx2
import openai
import pytest
from google import genai

from llmspell.errors import ProviderError
from llmspell.providers.anthropic_messages import AnthropicMessages
from llmspell.providers.embedding import EmbedRequest
from llmspell.providers.endpoints import Endpoint
from llmspell.providers.gemini import Gemini
from llmspell.providers.openai_chat import OpenAIChat
from llmspell.providers.openai_responses import OpenAIResponses
from llmspell.testing.fakes import FakeServer, refused

pytestmark = pytest.mark.anyio

KEY = "sk-test-1234567890"
NAMES = [f"model-{n}" for n in range(70)]
OURS = {
    "openai": (OpenAIChat, "/v1"),
    "openai-responses": (OpenAIResponses, "/v1"),
    "anthropic": (AnthropicMessages, ""),
    "gemini": (Gemini, ""),
}


def openai_sdk(client):
    return openai.AsyncOpenAI(
        api_key=KEY,
        base_url="http://fake/v1",
        http_client=client,
        max_retries=0,
        _strict_response_validation=True,
    )


def anthropic_sdk(client):
    return anthropic.AsyncAnthropic(
        api_key=KEY,
        base_url="http://fake",
        http_client=client,
        max_retries=0,
        _strict_response_validation=True,
    )


def genai_sdk(client):
    options = {"base_url": "http://fake", "httpx_async_client": client}
    return genai.Client(api_key=KEY, http_options=options).aio


def of(server, kind):
    cls, version = OURS[kind]
    where = Endpoint("mock", f"http://fake{version}", key=KEY)
    return cls(where, transport=server.transport(), max_retries=0)


async def test_the_sdks_list_every_model_page_by_page():
    server = FakeServer(models=NAMES, key=KEY)
    async with httpx2.AsyncClient(transport=server.transport()) as client:
        listed = [model.id async for model in openai_sdk(client).models.list()]
        assert listed == NAMES
        assert [model.id async for model in anthropic_sdk(client).models.list()] == NAMES
        pages = await genai_sdk(client).models.list(config={"query_base": True})
        assert [model.name async for model in pages] == [f"models/{name}" for name in NAMES]
    assert len(server.requests) > 5


async def test_the_sdks_read_the_vectors():
    server = FakeServer(vectors=lambda text: [len(text), 0.5, -1.0], key=KEY)
    async with httpx2.AsyncClient(transport=server.transport()) as client:
        made = await openai_sdk(client).embeddings.create(
            model="m", input=["a", "bcd"], encoding_format="float", dimensions=2
        )
        assert [one.embedding for one in made.data] == [[1.0, 0.5], [3.0, 0.5]]
        assert made.usage.prompt_tokens == 2
        lax = openai_sdk(client).with_options()
        lax._strict_response_validation = False
        packed = await lax.embeddings.create(model="m", input="bcd")  # asks for base64
        assert packed.data[0].embedding == [3.0, 0.5, -1.0]
        theirs = await genai_sdk(client).models.embed_content(model="m", contents=["a", "bcd"])
        assert [one.values for one in theirs.embeddings] == [[1.0, 0.5, -1.0], [3.0, 0.5, -1.0]]


@pytest.mark.parametrize("kind", OURS)
async def test_our_providers_list_its_models(kind):
    assert await of(FakeServer(models=["small", "large"]), kind).list_models() == ["small", "large"]


@pytest.mark.parametrize("kind", ["openai", "openai-responses", "gemini"])
async def test_our_providers_read_its_vectors(kind):
    server = FakeServer()
    made = await of(server, kind).embed(EmbedRequest("mock/m", ("tea", "TEA", "aet", "fog"), 16))
    tea, same, letters, other = made.vectors
    assert tea == same == letters != other
    assert sum(number * number for number in tea) == pytest.approx(1.0)
    assert made.usage.input_tokens == 4


@pytest.mark.parametrize("kind", OURS)
async def test_both_fail_as_they_are_told_and_take_no_reply_of_the_script(kind):
    server = FakeServer([], models=refused(503, "no list"), vectors=refused(429, "no vectors"))
    with pytest.raises(ProviderError, match=r"no list \(HTTP 503\)"):
        await of(server, kind).list_models()
    if kind != "anthropic":
        with pytest.raises(ProviderError, match=r"no vectors \(HTTP 429\)"):
            await of(server, kind).embed(EmbedRequest("mock/m", ("tea",)))


@pytest.mark.parametrize("kind", OURS)
async def test_a_wrong_key_is_not_let_in(kind):
    with pytest.raises(ProviderError, match="HTTP 401"):
        await of(FakeServer(key="another"), kind).list_models()


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/v1/embeddings", {"input": "a"}, "Missing required parameter: 'model'."),
        ("/v1/embeddings", {"model": "m", "input": [""]}, "'input' is invalid"),
        ("/v1/embeddings", {"model": "m", "input": []}, "'input' is invalid"),
        ("/v1/embeddings", {"model": "m", "input": "a", "encoding_format": "x"}, "encoding_format"),
        ("/v1/embeddings", {"model": "m", "input": "a", "dimensions": 0}, "'dimensions' is a"),
        ("/v1beta/models/m:batchEmbedContents", {}, "'requests'"),
        ("/v1beta/models/m:batchEmbedContents", {"requests": [{"model": "m"}]}, "the one in"),
        (
            "/v1beta/models/m:batchEmbedContents",
            {"requests": [{"model": "models/m"}]},
            "content is required",
        ),
    ],
)
async def test_what_the_real_ones_refuse(path, body, said):
    async with httpx2.AsyncClient(transport=FakeServer().transport()) as client:
        answer = await client.post(f"http://fake{path}", json=body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]
