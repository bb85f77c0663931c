"""The shipped hooks and middleware in whole runs, enabled by llmspell.toml or by one line."""

import logging
import subprocess
import sys

import pytest

from llmspell import Runtime
from llmspell.config import find_project
from llmspell.errors import ConfigError, HookHalted, ProviderError, RateLimited, SpellRuntimeError
from llmspell.hooks.builtin import Caching, Redaction, Retrying
from llmspell.middleware.rate_limit import RateLimit
from llmspell.providers.scripted import ScriptedProvider
from llmspell.state import MemoryStore

pytestmark = pytest.mark.anyio

ASK = 'return (Agent.create{model = "scripted/m"}:prompt("I am anna@example.org"))'
BUSY = ProviderError("busy", status=503, retryable=True)


@pytest.fixture
def with_settings(tmp_path, isolate):
    """Runs Lua in a project with settings and a scripted model, which is given back."""

    async def run(settings, source, replies=(), **options):
        (tmp_path / "llmspell.toml").write_text(settings)
        model = ScriptedProvider(replies)
        options = {"isolate": isolate, "store": MemoryStore(), "providers": [model]} | options
        async with Runtime(project=find_project(tmp_path), **options) as runtime:
            return await runtime.execute(source), model

    return run


async def test_a_model_that_is_busy_is_asked_again(with_settings):
    settings = '[[hooks]]\nname = "retry"\nsettings = { delay = "1ms", attempts = 2 }\n'
    answer, model = await with_settings(settings, ASK, [BUSY, BUSY, "hello"])
    assert answer == "hello"
    assert len(model.requests) == 3
    with pytest.raises(SpellRuntimeError, match="busy"):
        await with_settings("", ASK, [BUSY, "hello"])


async def test_a_model_is_asked_once_for_the_same(with_settings):
    source = 'local function ask() return (Agent.create{model = "scripted/m"}:prompt("x")) end\n'
    source += "return {ask(), ask()}"
    answers, model = await with_settings('[[hooks]]\nname = "cache"\n', source, ["one", "two"])
    assert answers == ["one", "one"]
    assert len(model.requests) == 1
    assert (await with_settings("", source, ["one", "two"]))[0] == ["one", "two"]


@pytest.mark.parametrize("effect", ["model.request", "agent.run"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_answer_from_the_cache_is_paid_for_once(with_settings, effect, when):
    source = f"""
        local keep = function() return Hook.cache("answer") end
        Hook.before("{effect}", keep)
        if "{when}" == "after" then
          Hook.after("{effect}", keep)
        end
        local paid = {{}}
        for i = 1, 2 do
          local _, response = Agent.create{{model = "scripted/m"}}:prompt("x")
          paid[i] = response.usage.usd
        end
        return {{paid[1] > 0, paid[2]}}
    """
    settings = 'prices = { "scripted/*" = { input = 1000, output = 1000 } }'
    answers, model = await with_settings(settings, source, ["one", "two"])
    assert answers == [True, 0.0]
    assert len(model.requests) == 1


async def test_a_model_does_not_get_to_see_addresses(with_settings):
    settings = '[[hooks]]\nname = "redaction"\nsettings = { kinds = ["email"] }\n'
    answer, model = await with_settings(settings, ASK, ["you are anna@example.org"])
    assert model.requests[0].messages[0].text == "I am [redacted email]"
    assert answer == "you are [redacted email]"


async def test_what_a_guard_denies_is_not_done_whatever_the_hooks_of_the_spell(with_settings):
    settings = (
        '[[hooks]]\nname = "guard"\neffects = ["state.*"]\nsettings = { deny = ["secret"] }\n'
    )
    source = """
        Hook.before("state.set", function()
          return Hook.modify{key = "secret", value = 1}
        end, {priority = math.mininteger})
        State.set("open", 1)
    """
    with pytest.raises(SpellRuntimeError) as caught:
        await with_settings(settings, source)
    assert isinstance(caught.value.cause, HookHalted)
    assert caught.value.cause.details["hook"] == "guard.before"


async def test_too_many_calls_fail_in_a_way_that_a_spell_can_catch(with_settings):
    settings = """
        [[middleware]]
        name = "rate_limit"
        effects = ["tool.call"]
        settings = { calls = 1, wait = 0 }
    """
    source = 'url_encode{text = "a"} local _, e = try(url_encode, {text = "a"}) return e'
    error, _ = await with_settings(settings, source)
    assert (error["code"], error["retryable"]) == ("rate_limited", True)
    assert 0 < error["details"]["retry_after"] <= 60


async def test_tokens_and_metrics_are_told_when_the_runtime_stops(with_settings, tmp_path, caplog):
    caplog.set_level(logging.INFO, "llmspell")
    settings = """
        [[middleware]]
        name = "usage"
        [[middleware]]
        name = "metrics"
        settings = { file = "metrics.prom" }
    """
    await with_settings(settings, ASK, ["four char"])
    assert "scripted/m: requests: 1, input tokens: 6" in caplog.text
    assert 'seconds_count{effect="model.request"} 1' in (tmp_path / "metrics.prom").read_text()


async def test_by_one_line_in_python(new_runtime):
    model = ScriptedProvider([BUSY, "for anna@example.org"])
    hooks = [Retrying(delay=0.001), Caching(), Redaction()]
    limit = RateLimit(calls=2, per=10_000, wait=0)
    async with new_runtime(hooks=hooks, middleware=[limit], providers=[model]) as runtime:
        assert await runtime.execute(ASK) == "for [redacted email]"
        with pytest.raises(SpellRuntimeError) as caught:
            await runtime.execute(ASK)
        assert isinstance(caught.value.cause, RateLimited)


async def test_what_one_run_keeps_another_shares_only_with_the_same_permissions(new_runtime):
    from llmspell.permissions import Grants
    from llmspell.spell import parse_spell

    model = ScriptedProvider(["one", "two"])
    grants = Grants(llm=("scripted/*",))
    options = {"providers": [model], "grants": grants, "isolate": False}
    async with new_runtime(hooks=[Caching(shared=True)], **options) as runtime:
        assert await runtime.execute(ASK) == await runtime.execute(ASK) == "one"
        stranger = parse_spell(ASK.encode(), name="s", file="s", trusted=False)
        assert await runtime.run(stranger) == "two"


async def test_wrong_settings_are_told_before_anything_runs(with_settings):
    settings = '[[hooks]]\nname = "retry"\nsettings = { attemps = 2 }\n'
    with pytest.raises(ConfigError, match=r"llmspell\.toml: hooks\.retry\.settings\.attemps"):
        await with_settings(settings, "return 1")


def test_nothing_of_it_is_imported_before_it_is_configured():
    source = "import sys, llmspell.runtime as r; r.Runtime(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, check=True, text=True
    )
    names = set(done.stdout.split())
    assert "llmspell.hooks" in names
    unused = {"builtin", "configured", "selective"}
    assert not names & {f"llmspell.hooks.{name}" for name in unused}
    assert "llmspell.factory" not in names
