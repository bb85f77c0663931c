import httpx2
import pytest

from llmspell.errors import ConfigError, UnknownEffect
from llmspell.providers.catalogue import CATALOGUE
from llmspell.providers.endpoints import endpoint, open_provider
from llmspell.providers.messages import Message, ModelRequest
from llmspell.providers.settings import ProviderSettings

KEY = "sk-proj-Zx81_qLw7TtRb29vNhYc3KdM5pGa0XfE6sUj4oWi"


def test_a_listed_provider_with_its_key():
    found = endpoint("openai", {}, {"OPENAI_API_KEY": f" {KEY}\n"})
    assert found.base_url == "https://api.openai.com/v1"
    assert (found.key_env, found.key) == ("OPENAI_API_KEY", KEY)
    assert found.quirks.max_tokens_field == "max_completion_tokens"
    assert KEY not in repr(found)


def test_a_listed_provider_without_its_key():
    found = endpoint("groq", {}, {"GROQ_API_KEY": " "})
    assert (found.key_env, found.key) == ("GROQ_API_KEY", None)


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_listed_provider_can_be_opened(name):
    listed = CATALOGUE[name]
    environ = {"AZURE_OPENAI_ENDPOINT": "https://me.openai.azure.com/"}
    found = endpoint(name, {}, environ)
    assert found.base_url == (listed.base_url or "https://me.openai.azure.com/openai/v1")
    assert bool(listed.default_model) == bool(listed.keys and listed.base_url)
    assert open_provider(name, {}, environ).name == name


def test_config_changes_a_listed_provider():
    own = ProviderSettings(
        base_url="https://proxy.example.com/v1/",
        api_key_env="PROXY_KEY",
        headers={"X-Team": "red"},
        timeout=5,
        extra_body={"user": "me"},
    )
    found = endpoint("openai", {"openai": own}, {"PROXY_KEY": KEY, "OPENAI_API_KEY": "other"})
    assert found.base_url == "https://proxy.example.com/v1"
    assert (found.key_env, found.key, found.timeout) == ("PROXY_KEY", KEY, 5)
    assert (found.headers, found.extra_body) == ({"X-Team": "red"}, {"user": "me"})
    assert found.quirks.max_tokens_field == "max_tokens"


def test_config_adds_a_provider():
    own = ProviderSettings(
        "http://gpu:9000/v1", quirks={"max_tokens_field": "max_completion_tokens"}
    )
    found = endpoint("gpu", {"gpu": own}, {})
    assert (found.base_url, found.key_env) == ("http://gpu:9000/v1", None)
    assert found.quirks.max_tokens_field == "max_completion_tokens"


def test_the_environment_moves_a_provider_and_config_goes_before_it():
    environ = {"OPENAI_BASE_URL": "http://localhost:8080/v1"}
    moved = endpoint("openai", {}, environ)
    assert (moved.base_url, moved.quirks.max_tokens_field) == (
        "http://localhost:8080/v1",
        "max_tokens",
    )
    own = {"openai": ProviderSettings("http://other/v1")}
    assert endpoint("openai", own, environ).base_url == "http://other/v1"


def test_a_base_url_that_says_what_is_so_anyway_changes_nothing():
    found = endpoint("openai", {}, {"OPENAI_BASE_URL": "https://api.openai.com/v1/"})
    assert found.quirks.max_tokens_field == "max_completion_tokens"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://localhost:11434/v1"),
        ("gpu", "http://gpu:11434/v1"),
        ("gpu:8000", "http://gpu:8000/v1"),
        (":8000", "http://localhost:8000/v1"),
        ("0.0.0.0", "http://localhost:11434/v1"),
        ("0.0.0.0:8000", "http://localhost:8000/v1"),
        ("[::1]", "http://[::1]:11434/v1"),
        ("http://gpu", "http://gpu/v1"),
        ("https://ollama.example.com/", "https://ollama.example.com/v1"),
    ],
)
def test_ollama_is_where_its_own_variable_says(host, url):
    assert endpoint("ollama", {}, {"OLLAMA_HOST": host}).base_url == url
    assert endpoint("vllm", {}, {"OLLAMA_HOST": host}).base_url == "http://localhost:8000/v1"


def test_an_ollama_host_that_is_no_address():
    with pytest.raises(ConfigError, match="the base URL is not a URL"):
        endpoint("ollama", {}, {"OLLAMA_HOST": "gpu:99999"})


def test_an_unknown_provider_is_met_with_a_suggestion():
    with pytest.raises(UnknownEffect) as caught:
        endpoint("opena", {"gpu": ProviderSettings("http://gpu/v1")}, {})
    assert caught.value.message == "no provider named 'opena'"
    assert "'openai'" in caught.value.hint
    with pytest.raises(UnknownEffect) as caught:
        endpoint("xyz", {}, {})
    assert caught.value.hint == "list them with: llmspell providers"


@pytest.mark.parametrize(
    ("own", "problem"),
    [
        (ProviderSettings(), "base_url is required"),
        (
            ProviderSettings("gpu:9000"),
            "the base URL must begin with http:// or https:// and a host",
        ),
        (
            ProviderSettings("ftp://gpu"),
            "the base URL must begin with http:// or https:// and a host",
        ),
        (
            ProviderSettings("http://"),
            "the base URL must begin with http:// or https:// and a host",
        ),
        (ProviderSettings("http://gpu:99999/v1"), "the base URL is not a URL"),
        (ProviderSettings("http://[gpu/v1"), "the base URL is not a URL"),
        (ProviderSettings("http://the gpu/v1"), "the base URL is not a URL"),
        (ProviderSettings("http://gpu/\nv1"), "the base URL is not a URL"),
        (
            ProviderSettings(f"http://me:{KEY}@gpu/v1"),
            "the base URL must not contain a user or password",
        ),
        (ProviderSettings(f"http://gpu/v1?key={KEY}"), "the base URL must not contain a query"),
        (ProviderSettings("http://gpu/v1", headers={"X": f"{KEY}\r\nY: 1"}), "the header 'X'"),
        (ProviderSettings("http://gpu/v1", headers={"X": "ü"}), "the header 'X'"),
        (ProviderSettings("http://gpu/v1", timeout=0), "timeout must be more than 0 seconds"),
        (ProviderSettings("http://gpu/v1", kind="morse"), "kind must be openai"),
        (ProviderSettings("http://gpu/v1", api_key_env="BAD"), "the key in BAD has characters"),
    ],
)
def test_settings_that_cannot_be(own, problem):
    with pytest.raises(ConfigError) as caught:
        endpoint("gpu", {"gpu": own}, {"BAD": f"{KEY}\nEVIL: 1"})
    assert problem in caught.value.message
    assert caught.value.path == "[providers.gpu]"
    assert bool(caught.value.hint) == ("base" in problem)  # the hint is on base URLs
    assert KEY not in repr(caught.value)
    assert KEY not in caught.value.message


@pytest.mark.anyio
async def test_an_open_provider_speaks_to_its_endpoint(completion):
    sent = []

    def answer(request):
        sent.append(request)
        return httpx2.Response(200, json=completion())

    transport = httpx2.MockTransport(answer)
    provider = open_provider("groq", {}, {"GROQ_API_KEY": KEY}, transport=transport)
    request = ModelRequest("groq/openai/gpt-oss-20b", (Message.of("user", "hi"),))
    response = await provider.complete(request)
    await provider.close()
    assert response.model == "groq/gpt-5.4-mini-2026-03-17"
    assert sent[0].url == "https://api.groq.com/openai/v1/chat/completions"
    assert sent[0].headers["authorization"] == f"Bearer {KEY}"
    assert b'"model":"openai/gpt-oss-20b"' in sent[0].content
