"""What tokens cost, beside the catalogue's own sums."""

import sys

import pytest
from genai_prices import Usage as Counted
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given
from hypothesis import strategies as st

from llmspell.providers.catalogue import CATALOGUE
from llmspell.providers.messages import Usage
from llmspell.providers.settings import ProviderSettings
from llmspell.spending.prices import _CATALOGUED, Price, Prices, _Catalogued

MILLION = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
counts = st.integers(0, 500_000)


def prices(own=None, **providers):
    return Prices(own or {}, providers)


@given(st.builds(Usage, counts, counts, cached_tokens=counts, cache_written_tokens=counts))
def test_every_model_of_the_catalogue_costs_what_the_catalogue_says(usage):
    # The input includes what is read from the cache and what is written to it.
    total = usage.input_tokens + usage.cached_tokens + usage.cache_written_tokens
    usage = Usage(total, usage.output_tokens, usage.cached_tokens, 0, usage.cache_written_tokens)
    counted = Counted(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_written_tokens,
    )
    for provider in get_snapshot().providers:
        for model in provider.models[:: 1 + len(provider.models) // 20]:
            expected = float(model.calc_price(counted, provider).total_price)
            assert _Catalogued(provider, model).usd(usage) == pytest.approx(expected), model.id


@pytest.mark.parametrize("provider", [n for n, listed in CATALOGUE.items() if listed.default_model])
def test_the_catalogue_knows_the_providers_that_take_money(provider):
    known = {p.id for p in get_snapshot().providers}
    assert _CATALOGUED.get(provider, provider) in known


def test_the_default_models_have_a_price():
    named = {f"{n}/{li.default_model}" for n, li in CATALOGUE.items() if li.default_model}
    without = {model for model in named if prices().usd(MILLION, model) is None}
    assert without <= {"openrouter/openrouter/auto", "openrouter/auto"}  # it may be any model


def test_what_is_cached_and_what_is_written_have_prices_of_their_own():
    usage = Usage(1_000_000, 100_000, cached_tokens=400_000, cache_written_tokens=200_000)
    own = Price(1.0, 10.0, cached=0.1, cache_written=1.25)
    assert own.usd(usage) == pytest.approx(0.4 * 1.0 + 0.4 * 0.1 + 0.2 * 1.25 + 0.1 * 10)
    assert Price(1.0, 10.0).usd(usage) == pytest.approx(1.0 + 1.0)


@pytest.mark.parametrize("amount", [-1, float("nan"), float("inf")])
def test_a_price_is_a_number_that_is_not_negative(amount):
    with pytest.raises(ValueError, match=r"cached: .* not negative"):
        Price(1.0, cached=amount)


@pytest.mark.parametrize("model", ["local/smollm2", "ollama/llama3", "vllm/x", "llamacpp/y"])
def test_models_on_ones_own_machine_cost_nothing(model):
    assert prices().usd(MILLION, model) == 0
    provider = model.partition("/")[0]
    if provider != "local":
        paid = prices(**{provider: ProviderSettings(api_key_env="KEY")})
        assert paid.usd(MILLION, model) is None


def test_what_nobody_knows_is_not_free():
    assert prices().usd(MILLION, "work/x") is None
    assert prices().usd(MILLION, "openai/there-is-no-such-model") is None
    here = ProviderSettings(base_url="http://localhost:4000/v1")  # it may pass on to anyone
    assert prices(work=here).usd(MILLION, "work/x") is None


def test_settings_go_above_the_catalogue_and_exact_names_above_patterns():
    own = {"openai/*": Price(1.0), "openai/gpt-5.4-mini": Price(2.0), "work/*": Price(3.0)}
    assert prices(own).usd(MILLION, "openai/gpt-5.4-mini") == 2
    assert prices(own).usd(MILLION, "openai/other") == 1
    assert prices(own).usd(MILLION, "work/a/b") == 3
    # The model that answered is named more exactly than the one that was asked.
    assert prices(own).usd(MILLION, "openai/gpt-5.4-mini-2026-03-17", "openai/gpt-5.4-mini") == 1
    answered = ("openai/gpt-5.4-mini-2026-03-17", "openai/gpt-5.4-mini")
    assert prices({answered[1]: Price(2.0)}).usd(MILLION, *answered) == 2


def test_the_first_model_of_known_price_counts():
    known = prices().usd(MILLION, "openai/gpt-5.4-mini")
    assert known > 0
    assert prices().usd(MILLION, "openai/unheard-of", "openai/gpt-5.4-mini") == known


@pytest.mark.anyio
async def test_the_catalogue_is_read_only_for_models_in_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "genai_prices.data", raising=False)
    for model in ("local/smollm2", "work/x", "ollama/x"):
        assert prices().loading(model) is None
    assert prices({"openai/x": Price(1.0)}).loading("openai/x") is None
    loading = prices().loading("openai/gpt-5.4-mini")
    await loading
