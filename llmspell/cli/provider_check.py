"""Sends one real request to a provider, to check its address, key and model."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from llmspell.cli.error_report import Misuse
from llmspell.errors import ProviderError, UnknownEffect
from llmspell.providers.catalogue import CATALOGUE
from llmspell.providers.default_model import EMBEDDED
from llmspell.providers.messages import Message, ModelRequest
from llmspell.providers.models import Models
from llmspell.providers.provider import ModelName
from llmspell.runtime import Runtime
from llmspell.spending.prices import Prices

_NOT_FOUND = 404
_TOKENS = 64  # of the answer, which may begin with reasoning


class ProviderCheck(NamedTuple):
    """The outcome of a check.

    Attributes:
        model: The model that answered.
        seconds: The time until the whole answer had arrived.
        usage: The tokens, and `usd` if the price is known.
    """

    model: str
    seconds: float
    text: str
    finish_reason: str
    usage: dict[str, Any]


async def check(provider: str, model: str | None) -> ProviderCheck:
    """Send a request to a model of a provider: the configured one, or the first it offers.

    Raises:
        ConfigError: The provider's settings cannot be used.
        Misuse: There is no such provider, or it lists no models.
        ProviderError: The request failed.
    """
    async with Runtime() as runtime:
        open_provider(runtime.models, provider)
        settings = runtime.project.settings
        configured = settings.model if (settings.model or "").startswith(f"{provider}/") else None
        name = f"{provider}/{model.removeprefix(f'{provider}/')}" if model else configured
        asked = name or await _default(provider, runtime.models)
        request = ModelRequest(asked, (Message.of("user", "Say hello."),), max_tokens=_TOKENS)
        begin = time.perf_counter()
        response = await runtime.models.complete(request)
        seconds = time.perf_counter() - begin
        prices = Prices(settings.prices, settings.providers)
        usd = prices.usd(response.usage, response.model or asked, asked)
        usage = response.usage.as_plain() | ({} if usd is None else {"usd": usd})
    answered = response.model or asked
    text = response.message.text or response.message.refusal or ""
    return ProviderCheck(answered, seconds, text.strip(), response.finish_reason, usage)


def open_provider(models: Models, name: str) -> None:
    """Open a provider that was named on the command line.

    Raises:
        ConfigError: Its settings cannot be used.
        Misuse: There is no such provider.
    """
    try:
        models.open(name)
    except UnknownEffect as error:
        hint = error.hint or "list them with: llmspell providers"
        raise Misuse(error.message, hint=hint) from error


async def _default(provider: str, models: Models) -> str:
    if provider == "local":
        return EMBEDDED
    listed = CATALOGUE.get(provider)
    if listed and listed.default_model:
        return str(ModelName(provider, listed.default_model))
    try:
        offered = await models.offered(provider)
    except ProviderError as error:
        if error.status == _NOT_FOUND:
            error.hint = "it lists no models, or its base URL is wrong; choose a model with --model"
        raise
    if not offered:
        raise Misuse(f"{provider} lists no models", hint="choose a model with --model")
    return f"{provider}/{offered[0]}"
