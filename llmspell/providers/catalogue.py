"""The known providers: base URLs, key variables, default models and quirks.

Base URLs, key variables and model names come from each provider's own documentation. Config adds
`ProviderSettings`, one for each `[providers.NAME]` in llmspell.toml.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from llmspell.frozen import Frozen
from llmspell.providers.quirks import NO_QUIRKS, Quirks

if TYPE_CHECKING:
    from llmspell.providers.settings import ProviderSettings

KINDS: Mapping[str, str] = {
    "openai": "llmspell.providers.openai_chat:OpenAIChat",
    "openai-responses": "llmspell.providers.openai_responses:OpenAIResponses",
    "anthropic": "llmspell.providers.anthropic_messages:AnthropicMessages",
    "gemini": "llmspell.providers.gemini:Gemini",
}
"""Wire protocols, and the class that implements each.

`openai` is OpenAI's chat completions, which most others implement too; `anthropic` is Anthropic's
Messages API, `gemini` Google's.
"""


class Listed(Frozen):
    """A known provider.

    Attributes:
        base_url: Prefix of the protocol's paths; "" where every user has their own.
        keys: Environment variables that may hold its key, best first; empty if it needs no key.
        default_model: A small, current model, used when none is named.
        embedder: The same for embeddings.
        kind: The wire protocol, one of `KINDS`.
    """

    base_url: str
    keys: tuple[str, ...] = ()
    default_model: str | None = None
    embedder: str | None = None
    kind: str = "openai"
    quirks: Quirks = NO_QUIRKS


# The order matters: the first provider whose key is in the environment sets the default model.
CATALOGUE: Mapping[str, Listed] = {
    "openai": Listed(
        "https://api.openai.com/v1",
        ("OPENAI_API_KEY",),
        "gpt-5.4-mini",
        "text-embedding-3-small",
        kind="openai-responses",
        quirks=Quirks(max_tokens_field="max_completion_tokens"),
    ),
    "anthropic": Listed(
        "https://api.anthropic.com",
        ("ANTHROPIC_API_KEY",),
        "claude-haiku-5-5",
        kind="anthropic",
    ),
    "google": Listed(
        "https://generativelanguage.googleapis.com",
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        "gemini-3.8-flash",
        "gemini-embedding-001",
        kind="gemini",
    ),
    "openrouter": Listed(
        "https://openrouter.ai/api/v1",
        ("OPENROUTER_API_KEY",),
        "openrouter/auto",
        quirks=Quirks(reasoning="openrouter", cache_control=True),
    ),
    "groq": Listed(
        "https://api.groq.com/openai/v1",
        ("GROQ_API_KEY",),
        "openai/gpt-oss-20b",
        quirks=Quirks(max_tokens_field="max_completion_tokens", stream_usage=False),
    ),
    "mistral": Listed(
        "https://api.mistral.ai/v1",
        ("MISTRAL_API_KEY",),
        "mistral-small-latest",
        "mistral-embed",
        quirks=Quirks(seed_field="random_seed", stream_usage=False, short_ids=True),
    ),
    "deepseek": Listed(
        "https://api.deepseek.com",
        ("DEEPSEEK_API_KEY",),
        "deepseek-v4-flash",
        quirks=Quirks(output="json_object", reasoning="deepseek"),
    ),
    "xai": Listed("https://api.x.ai/v1", ("XAI_API_KEY",), "grok-4.3"),
    "together": Listed(
        "https://api.together.ai/v1",
        ("TOGETHER_API_KEY",),
        "openai/gpt-oss-120b",
        quirks=Quirks(reasoning="together"),
    ),
    "fireworks": Listed(
        "https://api.fireworks.ai/inference/v1",
        ("FIREWORKS_API_KEY",),
        "accounts/fireworks/models/gpt-oss-120b",
        quirks=Quirks(reasoning="tokens"),
    ),
    "cerebras": Listed(
        "https://api.cerebras.ai/v1",
        ("CEREBRAS_API_KEY",),
        "gpt-oss-120b",
        quirks=Quirks(max_tokens_field="max_completion_tokens"),
    ),
    "azure": Listed(
        "",
        ("AZURE_OPENAI_API_KEY",),
        quirks=Quirks(max_tokens_field="max_completion_tokens", key_header="api-key"),
    ),
    "ollama": Listed("http://localhost:11434/v1"),
    "lmstudio": Listed("http://localhost:1234/v1"),
    "llamacpp": Listed(
        "http://localhost:8080/v1", quirks=Quirks(reasoning="template", named_choice=False)
    ),
    "vllm": Listed("http://localhost:8000/v1", quirks=Quirks(reasoning="template")),
}


def key_variables(settings: Mapping[str, ProviderSettings]) -> set[str]:
    """Return the environment variables that may hold a provider's key."""
    listed = {name for provider in CATALOGUE.values() for name in provider.keys}
    return listed | {own.api_key_env for own in settings.values() if own.api_key_env}


def keys_in(environ: Mapping[str, str], settings: Mapping[str, ProviderSettings]) -> list[str]:
    """Return every provider's key in the environment, and the secret headers in the settings."""
    keys = [environ[name] for name in key_variables(settings) if name in environ]
    if settings:
        from llmspell.providers.redaction import secrets_in

        keys += [secret for own in settings.values() for secret in secrets_in(None, own.headers)]
    return keys
