import time
import typing

import anthropic
import anyio
import pytest

from llmspell.errors import InvalidArguments
from llmspell.providers.catalogue import CATALOGUE
from llmspell.providers.default_model import choose_model, ollama_models
from llmspell.providers.settings import ProviderSettings

pytestmark = pytest.mark.anyio

KEY = "sk-proj-Zx81_qLw7TtRb29vNhYc3KdM5pGa0XfE6sUj4oWi"


def probe(models, asked=None):
    async def answer(address):
        if asked is not None:
            asked.append(address)
        return models

    return answer


async def choose(configured=None, settings=None, environ=None, models=None, asked=None):
    return await choose_model(configured, settings or {}, environ or {}, probe=probe(models, asked))


async def test_what_is_configured_goes_first():
    choice = await choose("xai/grok-4.3", environ={"OPENAI_API_KEY": KEY})
    assert choice == ("xai/grok-4.3", "The configured model is xai/grok-4.3.")
    with pytest.raises(InvalidArguments):
        await choose("gpt")


async def test_a_key_in_the_environment_decides():
    asked = []
    choice = await choose(environ={"GROQ_API_KEY": KEY, "OPENAI_API_KEY": " "}, asked=asked)
    assert choice.model == "groq/openai/gpt-oss-20b"
    assert choice.reason == "GROQ_API_KEY is set, so the model is groq/openai/gpt-oss-20b."
    assert asked == []


@pytest.mark.parametrize(
    ("variable", "model"),
    [
        ("ANTHROPIC_API_KEY", "anthropic/claude-haiku-5-5"),
        ("GEMINI_API_KEY", "google/gemini-3.8-flash"),
        ("GOOGLE_API_KEY", "google/gemini-3.8-flash"),
    ],
)
async def test_keys_of_those_with_a_protocol_of_their_own(variable, model):
    choice = await choose(environ={variable: KEY})
    assert choice == (model, f"{variable} is set, so the model is {model}.")


def test_the_default_of_anthropic_is_one_its_sdk_knows():
    known, _ = typing.get_args(anthropic.types.Model)
    assert CATALOGUE["anthropic"].default_model in typing.get_args(known)
    assert CATALOGUE["anthropic"].default_model not in anthropic._data.DEPRECATED_MODELS


async def test_of_several_keys_the_order_is_fixed():
    environ = {"XAI_API_KEY": KEY, "OPENAI_API_KEY": KEY}
    assert (await choose(environ=environ)).model.startswith("openai/")
    assert (await choose(environ=dict(reversed(environ.items())))).model.startswith("openai/")


async def test_config_may_name_another_variable():
    settings = {"mistral": ProviderSettings(api_key_env="WORK_KEY")}
    choice = await choose(settings=settings, environ={"WORK_KEY": KEY})
    assert choice.model == "mistral/mistral-small-latest"
    assert KEY not in choice.reason
    choice = await choose(settings=settings, environ={"MISTRAL_API_KEY": KEY})
    assert choice.model == "local/smollm2"


async def test_without_a_key_ollama_is_asked():
    asked = []
    choice = await choose(environ={"OLLAMA_HOST": "gpu"}, models=["qwen3:4b", "b"], asked=asked)
    assert choice.model == "ollama/qwen3:4b"
    assert asked == ["http://gpu:11434"]


@pytest.mark.parametrize(
    ("models", "why"),
    [
        (None, "Ollama does not answer at http://localhost:11434"),
        ([], "Ollama has no chat model"),
    ],
)
async def test_without_ollama_the_embedded_model_answers(models, why):
    choice = await choose(models=models)
    assert choice.model == "local/smollm2"
    assert choice.reason == f"No key is set and {why}, so the model is the embedded one."


async def test_an_address_that_is_none_does_not_stop_the_choice():
    choice = await choose(environ={"OLLAMA_HOST": "ftp://gpu"}, models=["a"])
    assert choice.model == "local/smollm2"
    assert "Ollama's address cannot be used" in choice.reason


async def test_ollama_lists_its_chat_models(serve, http):
    models = [
        {"name": "nomic-embed-text:latest", "details": {"family": "nomic-bert"}},
        {"name": "all-minilm:latest", "details": {"family": "bert"}},
        {"name": "qwen3:4b", "details": {"family": "qwen3"}},
        {"name": "llama3.2:latest"},
    ]
    async with serve(http({"models": models})) as (server, url):
        address = url.removesuffix("/v1")
        assert await ollama_models(address) == ["qwen3:4b", "llama3.2:latest"]
        choice = await choose_model(None, {}, {"OLLAMA_HOST": address})
    assert server.requests[0].startswith(b"GET /api/tags HTTP/1.1\r\n")
    assert choice.model == "ollama/qwen3:4b"


@pytest.mark.parametrize("body", [b"<html>", [1], {}, {"models": None}, {"models": [{}]}])
async def test_what_answers_there_may_not_be_ollama(body, serve, http):
    async with serve(http(body)) as (_, url):
        assert await ollama_models(url.removesuffix("/v1")) is None


async def test_nobody_there():
    assert await ollama_models("http://127.0.0.1:1") is None


async def test_one_who_is_slow_is_not_waited_for(serve):
    thinking = []

    async def think(_request, _writer):
        thinking.append(True)
        await anyio.sleep(30)
        thinking.clear()

    async with serve(think) as (_, url):
        start = time.monotonic()
        assert await ollama_models(url.removesuffix("/v1")) is None
        assert time.monotonic() - start < 2
        assert thinking
