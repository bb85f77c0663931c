"""Prices of tokens by model: from the settings, otherwise from the catalogue of `genai-prices`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Protocol

from llmspell.frozen import Frozen

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

    from llmspell.providers.catalogue import Listed
    from llmspell.providers.messages import Usage
    from llmspell.providers.settings import ProviderSettings

MILLION = 1_000_000
_CATALOGUE = "genai_prices.data"

# Names of providers in genai-prices, where they differ from ours.
_CATALOGUED = {"xai": "x-ai"}


class Tariff(Protocol):
    """The price of one model's tokens."""

    def usd(self, usage: Usage) -> float: ...


class Price(Frozen):
    """`[prices] "openai/x" = {input = 1.0, output = 4.0}`: US dollars per million tokens.

    Attributes:
        cached: For input read from the provider's cache; by default the price of other input.
        cache_written: For input written to the provider's cache; by default the price of other
            input.
    """

    input: float
    output: float = 0.0
    cached: float | None = None
    cache_written: float | None = None

    def __post_init__(self) -> None:
        for name in ("input", "output", "cached", "cache_written"):
            amount: float | None = getattr(self, name)
            if amount is not None and not 0 <= amount < float("inf"):
                raise ValueError(
                    f"{name}: a price must be a number of US dollars that is not negative, not {amount:g}"
                )

    def usd(self, usage: Usage) -> float:
        """Return the cost of tokens in US dollars."""
        cached, written = usage.cached_tokens, usage.cache_written_tokens
        for_cached = self.input if self.cached is None else self.cached
        for_written = self.input if self.cache_written is None else self.cache_written
        cost = cached * for_cached + written * for_written + usage.output_tokens * self.output
        return (cost + max(usage.input_tokens - cached - written, 0) * self.input) / MILLION


FREE = Price(0.0)


class Prices:
    """The prices known to a runtime."""

    def __init__(self, own: Mapping[str, Price], providers: Mapping[str, ProviderSettings]) -> None:
        """Read the settings.

        Args:
            own: Prices by model, where `*` matches any part of a name; the first match counts.
            providers: The settings of providers. Known providers that run on the user's own machine
                are free, unless they are configured with an API key.
        """
        self._own, self._providers = own, providers
        self._known: dict[str, Tariff | None] = {}

    def loading(self, model: str) -> asyncio.Future[None] | None:
        """Start to load the catalogue in a thread, if the model's price may be in it.

        Loading takes half a second, once per process. Returns None if there is nothing to wait for.
        """
        if model in self._known or _CATALOGUE in sys.modules or not self._is_listed(model):
            return None
        return asyncio.get_running_loop().run_in_executor(None, _load)

    def usd(self, usage: Usage, *models: str) -> float | None:
        """Return the cost of tokens for the first model whose price is known, or None."""
        for find in (self._set, self._listed):
            for model in models:
                if tariff := find(model):
                    return tariff.usd(usage)
        return None

    def _set(self, model: str) -> Price | None:
        if not self._own:
            return None
        exact = self._own.get(model)
        return exact or next((p for n, p in self._own.items() if fnmatchcase(model, n)), None)

    def _listed(self, model: str) -> Tariff | None:
        if model not in self._known:
            self._known[model] = self._find(model)
        return self._known[model]

    def _find(self, model: str) -> Tariff | None:
        provider, _, name = model.partition("/")
        if self._is_listed(model):
            return _catalogued(_CATALOGUED.get(provider, provider), name)
        own = self._providers.get(provider)
        on_own_machine = _listed(provider) and not (own and own.api_key_env)
        return FREE if provider == "local" or on_own_machine else None

    def _is_listed(self, model: str) -> bool:
        """Return whether the catalogue is to price the model: a paid provider, and no own setting."""
        listed = _listed(model.partition("/")[0])
        return listed is not None and bool(listed.keys) and not self._set(model)


def _listed(provider: str) -> Listed | None:
    from llmspell.providers.catalogue import CATALOGUE

    return CATALOGUE.get(provider)


def _load() -> None:
    from genai_prices.data_snapshot import get_snapshot

    get_snapshot()


def _catalogued(provider: str, model: str) -> Tariff | None:
    from genai_prices.data_snapshot import get_snapshot

    try:
        return _Catalogued(*get_snapshot().find_provider_model(model, None, provider, None))
    except LookupError:
        return None


class _Catalogued:
    """A model of genai-prices: its price may depend on the date, or on the number of tokens."""

    def __init__(self, provider: Provider, model: ModelInfo) -> None:
        self._provider, self._model = provider, model
        self._plain = _plain(model.prices) if not isinstance(model.prices, list) else None

    def usd(self, usage: Usage) -> float:
        if self._plain:
            return self._plain.usd(usage)
        from genai_prices import Usage as Counted

        counted = Counted(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cached_tokens,
            cache_write_tokens=usage.cache_written_tokens,
        )
        return float(self._model.calc_price(counted, self._provider).total_price)


def _plain(prices: ModelPrice) -> Price | None:
    """Return prices without tiers as a `Price`, which is ten times as fast; otherwise None."""
    names = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok")
    amounts = [getattr(prices, name) for name in names]
    tiered = any(hasattr(amount, "tiers") for amount in amounts)
    if tiered or amounts[0] is None or prices.requests_kcount is not None:
        return None
    input_, output, read, written = (None if a is None else float(a) for a in amounts)
    return Price(input_ or 0.0, output or 0.0, read, written)
