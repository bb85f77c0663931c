"""Chooses the default models, for spells that do not name one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import NamedTuple

from llmspell.errors import ConfigError
from llmspell.providers.catalogue import CATALOGUE
from llmspell.providers.endpoints import endpoint
from llmspell.providers.provider import ModelName
from llmspell.providers.settings import ProviderSettings

EMBEDDED = "local/smollm2"
"""The model that comes with the extra `local` and needs neither key nor network."""

EMBEDDER = "local/minilm"
"""The embedding model of the extra `embeddings`, which needs neither key nor network."""

PROBE_SECONDS = 0.3


class Choice(NamedTuple):
    """A model, and a sentence that says why it was chosen."""

    model: str
    reason: str


Probe = Callable[[str], Awaitable[list[str] | None]]
"""Returns the chat models of Ollama at the given address; None if nothing answers there."""


async def choose_model(
    configured: str | None,
    settings: Mapping[str, ProviderSettings],
    environ: Mapping[str, str],
    *,
    probe: Probe | None = None,
) -> Choice:
    """Return the configured model; else that of the first provider whose key is in the
    environment; else one of Ollama's, if it is running; else the embedded one.

    Raises:
        InvalidArguments: The configured name is not of the form `provider/model`.
    """
    if configured:
        ModelName.parse(configured)
        return Choice(configured, f"The configured model is {configured}.")
    for name, key in _keys(settings, environ):
        if CATALOGUE[name].default_model:
            model = f"{name}/{CATALOGUE[name].default_model}"
            return Choice(model, f"{key} is set, so the model is {model}.")
    return await _local(settings, environ, probe or ollama_models)


def choose_embedder(
    configured: str | None, settings: Mapping[str, ProviderSettings], environ: Mapping[str, str]
) -> str:
    """Return the configured embedding model; else that of the first provider whose key is in
    the environment and that has one; else the one that runs in this process.

    Raises:
        InvalidArguments: The configured name is not of the form `provider/model`.
    """
    if configured:
        return str(ModelName.parse(configured))
    named = ((name, CATALOGUE[name].embedder) for name, _ in _keys(settings, environ))
    return next((f"{name}/{model}" for name, model in named if model), EMBEDDER)


def _keys(
    settings: Mapping[str, ProviderSettings], environ: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield the listed providers whose key is in the environment, and the key's variable."""
    for name, listed in CATALOGUE.items():
        own = settings.get(name)
        keys = (own.api_key_env,) if own and own.api_key_env else listed.keys
        if key := next((key for key in keys if environ.get(key, "").strip()), None):
            yield name, key


async def _local(
    settings: Mapping[str, ProviderSettings], environ: Mapping[str, str], probe: Probe
) -> Choice:
    try:
        address = endpoint("ollama", settings, environ).base_url.removesuffix("/v1")
    except ConfigError as error:
        why = f"Ollama's address cannot be used ({error})"
        return Choice(EMBEDDED, f"No key is set and {why}, so the model is the embedded one.")
    models = await probe(address)
    if models:
        model = f"ollama/{models[0]}"
        return Choice(
            model, f"No key is set and Ollama answers, so the model is its first, {model}."
        )
    why = f"Ollama does not answer at {address}" if models is None else "Ollama has no chat model"
    return Choice(EMBEDDED, f"No key is set and {why}, so the model is the embedded one.")


async def ollama_models(address: str) -> list[str] | None:
    """Return the names of Ollama's chat models, newest first; None if it does not answer at once.

    Source of the format: `GET /api/tags` of Ollama's API.
    """
    import anyio
    import httpx2

    with anyio.move_on_after(PROBE_SECONDS):
        try:
            async with httpx2.AsyncClient(
                trust_env=False, verify=address.startswith("https:")
            ) as client:
                response = await client.get(f"{address}/api/tags")
                models = response.json()["models"]
                return [m["name"] for m in models if not _embeds(m)]
        except (httpx2.HTTPError, ValueError, KeyError, TypeError):
            return None  # something other than Ollama answered
    return None


def _embeds(model: dict[str, object]) -> bool:
    """Whether it is an embedding model."""
    details = model.get("details")
    family = details.get("family") if isinstance(details, dict) else ""
    return "embed" in str(model["name"]) or "bert" in str(family)
