"""What each listed server is sent, as its own documentation or SDK has it."""

import json

import httpx2
import openai
import pytest

from llmspell.config.validation import check_settings
from llmspell.errors import ConfigError
from llmspell.providers.catalogue import CATALOGUE
from llmspell.providers.endpoints import endpoint, open_provider
from llmspell.providers.messages import Message, ModelRequest, ToolSpec
from llmspell.providers.openai_body import request_body
from llmspell.providers.quirks import NO_QUIRKS
from llmspell.providers.settings import ProviderSettings

pytestmark = pytest.mark.anyio

KEY = "sk-proj-Zx81_qLw7TtRb29vNhYc3KdM5pGa0XfE6sUj4oWi"
ENVIRON = {"AZURE_OPENAI_ENDPOINT": "https://me.openai.azure.com/"}
KEYS = {name: KEY for listed in CATALOGUE.values() for name in listed.keys}
CHAT = [name for name, listed in CATALOGUE.items() if listed.kind.startswith("openai")]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}

# The whole body of a request that sets everything, where it is not the plain one below.
PLAIN = {
    "max_tokens": 64,
    "seed": 7,
    "reasoning_effort": "low",
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "output", "schema": CITY},
    },
    "tool_choice": {"type": "function", "function": {"name": "now"}},
    "stream_options": {"include_usage": True},
}
BODIES = {
    "openrouter": {"reasoning_effort": None, "reasoning": {"effort": "low"}},
    "groq": {"max_tokens": None, "max_completion_tokens": 64, "stream_options": None},
    "mistral": {"seed": None, "random_seed": 7, "stream_options": None},
    "deepseek": {"thinking": {"type": "enabled"}, "response_format": {"type": "json_object"}},
    "xai": {},
    "together": {"reasoning": {"enabled": True}},
    "fireworks": {},
    "cerebras": {"max_tokens": None, "max_completion_tokens": 64},
    "azure": {"max_tokens": None, "max_completion_tokens": 64},
    "ollama": {},
    "lmstudio": {},
    "llamacpp": {"chat_template_kwargs": {"enable_thinking": True}, "tool_choice": "required"},
    "vllm": {"chat_template_kwargs": {"enable_thinking": True}},
}


async def sent(name, request, settings=None, environ=ENVIRON | KEYS):
    """What the server of that name gets when the request is streamed."""
    seen = []

    def answer(request):
        seen.append(request)
        return httpx2.Response(401)

    transport = httpx2.MockTransport(answer)
    provider = open_provider(name, settings or {}, environ, transport=transport)
    with pytest.raises(Exception, match="HTTP 401"):
        [_ async for _ in provider.stream(request)]
    await provider.close()
    return seen[0]


@pytest.mark.parametrize("name", [name for name in CHAT if name != "openai"])
async def test_the_whole_of_a_request(name):
    request = ModelRequest(
        f"{name}/m",
        (Message.of("user", "hi"),),
        tools=(ToolSpec("now"),),
        tool_choice="now",
        output=CITY,
        max_tokens=64,
        seed=7,
        reasoning="low",
    )
    got = await sent(name, request)
    listed = CATALOGUE[name]
    base_url = listed.base_url or "https://me.openai.azure.com/openai/v1"
    assert got.url == f"{base_url}/chat/completions"
    if name == "azure":
        assert got.headers["api-key"] == KEY
        assert "authorization" not in got.headers
    else:
        assert got.headers.get("authorization") == (f"Bearer {KEY}" if listed.keys else None)
    body = json.loads(got.content)
    messages = body.pop("messages")
    assert messages[-1] == {"role": "user", "content": "hi"}
    assert len(messages) == (2 if name == "deepseek" else 1)
    wanted = {n: v for n, v in (PLAIN | BODIES[name]).items() if v is not None}
    function = {"name": "now", "parameters": {"type": "object", "properties": {}}}
    wanted |= {"model": "m", "stream": True, "tools": [{"type": "function", "function": function}]}
    assert body == wanted


@pytest.mark.parametrize(
    ("name", "wanted", "fields"),
    [
        ("xai", "none", {"reasoning_effort": "none"}),
        ("xai", "xhigh", {"reasoning_effort": "xhigh"}),
        ("xai", 0, {"reasoning_effort": "none"}),
        ("xai", 1000, {"reasoning_effort": "low"}),
        ("xai", 5000, {"reasoning_effort": "medium"}),
        ("xai", 50_000, {"reasoning_effort": "high"}),
        ("openrouter", "none", {"reasoning": {"effort": "none"}}),
        ("openrouter", 0, {"reasoning": {"effort": "none"}}),
        ("openrouter", 3000, {"reasoning": {"max_tokens": 3000}}),
        ("deepseek", "none", {"thinking": {"type": "disabled"}}),
        ("together", 0, {"reasoning": {"enabled": False}}),
        ("fireworks", 3000, {"reasoning_effort": 3000}),
        ("fireworks", 0, {"reasoning_effort": "none"}),
        (
            "llamacpp",
            3000,
            {
                "chat_template_kwargs": {"enable_thinking": True},
                "thinking_budget_tokens": 3000,
                "reasoning_effort": "medium",
            },
        ),
        (
            "vllm",
            "none",
            {"chat_template_kwargs": {"enable_thinking": False}, "reasoning_effort": "none"},
        ),
    ],
)
def test_how_much_to_think(name, wanted, fields):
    request = ModelRequest(f"{name}/m", (), reasoning=wanted)
    body = request_body(request, "m", endpoint(name, {}, {}))
    assert body == {"model": "m", "messages": []} | fields


def test_only_the_chosen_tool_is_offered_where_it_cannot_be_named():
    tools = (ToolSpec("now"), ToolSpec("later"))
    request = ModelRequest("llamacpp/m", (), tools=tools, tool_choice="later")
    body = request_body(request, "m", endpoint("llamacpp", {}, {}))
    assert [tool["function"]["name"] for tool in body["tools"]] == ["later"]
    assert body["tool_choice"] == "required"


@pytest.mark.parametrize(
    ("model", "cache", "wanted"),
    [("anthropic/claude", True, True), ("anthropic/claude", False, False), ("x/y", True, False)],
)
def test_openrouter_is_asked_to_cache_for_those_who_want_to_be_asked(model, cache, wanted):
    request = ModelRequest(f"openrouter/{model}", (), cache=cache)
    body = request_body(request, model, endpoint("openrouter", {}, {}))
    assert body.get("cache_control") == ({"type": "ephemeral"} if wanted else None)


@pytest.mark.parametrize(
    ("environ", "kind", "field"),
    [
        ({}, "openai-responses", "max_completion_tokens"),
        (
            {"OPENAI_BASE_URL": "https://eu.api.openai.com/v1"},
            "openai-responses",
            "max_completion_tokens",
        ),
        ({"OPENAI_BASE_URL": "https://proxy.example.com/v1"}, "openai", "max_tokens"),
        ({"OPENAI_BASE_URL": "https://notapi.openai.com.example.com/v1"}, "openai", "max_tokens"),
    ],
)
def test_openai_elsewhere_is_spoken_to_as_everybody_can(environ, kind, field):
    found = endpoint("openai", {}, environ)
    assert (found.kind, found.quirks.max_tokens_field) == (kind, field)


async def test_azure_as_its_own_sdk_asks_it():
    """The older way, in which the deployment and the version of the API stand in the URL."""
    theirs = []

    def answer(request):
        theirs.append(request)
        return httpx2.Response(401)

    async with openai.AsyncAzureOpenAI(
        api_key=KEY,
        azure_endpoint="https://me.openai.azure.com",
        azure_deployment="mine",
        api_version="2024-10-21",
        http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(answer)),
        max_retries=0,
    ) as sdk:
        with pytest.raises(openai.AuthenticationError):
            await sdk.chat.completions.create(
                model="mine",
                messages=[{"role": "user", "content": "hi"}],
                stream=True,
                stream_options={"include_usage": True},
            )
    own = ProviderSettings(
        "https://me.openai.azure.com/openai/deployments/mine", query={"api-version": "2024-10-21"}
    )
    request = ModelRequest("azure/mine", (Message.of("user", "hi"),))
    ours = await sent("azure", request, {"azure": own})
    assert ours.url == theirs[0].url
    assert ours.headers["api-key"] == theirs[0].headers["api-key"]
    assert json.loads(ours.content) == json.loads(theirs[0].content)


async def test_azure_takes_a_token_as_others_take_a_key():
    own = ProviderSettings(
        api_key_env="AZURE_OPENAI_AD_TOKEN", quirks={"key_header": "authorization"}
    )
    environ = ENVIRON | {"AZURE_OPENAI_AD_TOKEN": "token-0123456789"}
    got = await sent("azure", ModelRequest("azure/mine", ()), {"azure": own}, environ)
    assert got.headers["authorization"] == "Bearer token-0123456789"
    assert "api-key" not in got.headers


def test_azure_needs_its_address():
    with pytest.raises(ConfigError, match="base_url is required, or AZURE_OPENAI_ENDPOINT"):
        endpoint("azure", {}, {})


async def test_settings_change_what_is_listed():
    own = ProviderSettings(quirks={"reasoning": "openrouter", "stream_usage": False})
    request = ModelRequest("xai/m", (), reasoning="low")
    body = json.loads((await sent("xai", request, {"xai": own})).content)
    assert body == {"model": "m", "messages": [], "stream": True, "reasoning": {"effort": "low"}}


@pytest.mark.parametrize(
    ("quirks", "problem"),
    [
        ({"odd": 1}, "no quirk is named 'odd'; available: max_tokens_field, seed_field, output"),
        ({"output": "xml"}, "'output' must be one of json_schema, json_object, tool, words"),
        ({"short_ids": "yes"}, "'short_ids' must be a boolean"),
        ({"seed_field": 1}, "'seed_field' must be a string"),
    ],
)
def test_quirks_that_cannot_be(quirks, problem):
    with pytest.raises(ValueError, match=problem):
        NO_QUIRKS.changed(quirks)
    with pytest.raises(ConfigError, match=f"providers.gpu: .*{problem}"):
        check_settings({"providers": {"gpu": {"quirks": quirks}}}, "llmspell.toml")
