"""The hooks and the middleware that are shipped, each at effects of a run without a Lua state."""

import logging
import random

import anyio
import anyio.lowlevel
import pytest

from llmspell import Halt, Modify, Replace
from llmspell.config import HookSettings, MiddlewareSettings
from llmspell.errors import (
    ConfigError,
    EffectTimeout,
    HookFailed,
    HookHalted,
    PermissionDenied,
    ProviderError,
    RateLimited,
    ToolError,
)
from llmspell.events import Events
from llmspell.hooks import Hook, Hooks, tell_of_runtime
from llmspell.hooks.builtin import (
    Caching,
    Costs,
    Guard,
    Logging,
    Redaction,
    Retrying,
    parallel,
    sequential,
    voting,
)
from llmspell.hooks.builtin import Debugging as DebuggingHook
from llmspell.hooks.configured import configured
from llmspell.hooks.effect_hook import EffectHook
from llmspell.metrics.effect_metrics import BOUNDS
from llmspell.middleware import arrange
from llmspell.middleware.configured import configured as configured_middleware
from llmspell.middleware.logs import Debugging
from llmspell.middleware.metrics import Metrics
from llmspell.middleware.rate_limit import RateLimit
from llmspell.middleware.usage import TokenUsage
from llmspell.permissions import Grants, Permissions
from llmspell.providers.messages import Usage
from llmspell.shipped import SHIPPED
from llmspell.spending.prices import Price
from llmspell.tools.registry import Tools
from llmspell.tools.tool import FunctionTool

pytestmark = pytest.mark.anyio


@pytest.fixture
def make(new_run):
    """A run with hooks and more middleware, a tool that echoes, and an effect that may fail."""

    def make(*hooks, middleware=(), **options):
        run = new_run(order=arrange(middleware), **options)
        run.done = []
        run.errors = []

        @run.probe.effect()
        def work(text: str = "", n: int = 0) -> dict:
            run.done.append(text)
            if run.errors:
                raise run.errors.pop(0)
            return {"text": text, "times": len(run.done)}

        def shout(text: str) -> str:
            """Louder."""
            run.done.append(text)
            return text.upper()

        def whisper(text: str) -> str:
            """Less loud."""
            run.done.append(text)
            return text.lower()

        for tool in (shout, whisper):
            run[Tools].register(tool.__name__, FunctionTool(tool))
        for hook in hooks:
            run[Hooks].add(hook)
        return run

    return make


def ask(run, text="hello", model="scripted/any"):
    message = {"role": "user", "content": text}
    return run.do("model.request", model=model, messages=[message])


def call(run, name, text):
    return run.do("tool.call", name=name, args={"text": text})


# A hook at effects of one's choice


def test_what_to_deny_or_redact_is_checked():
    assert [pattern.pattern for pattern in Guard(deny="password").deny] == ["password"]
    with pytest.raises(ValueError, match="'e-mail' is not a kind of text to redact: email, key"):
        Redaction(kinds=["email", "e-mail"])


async def test_a_hook_at_effects_of_ones_choice(make):
    class Watch(EffectHook):
        def __init__(self, **options):
            super().__init__(**options)
            self.seen = []

        def before(self, call):
            self.seen.append(("before", call.effect.name))

        async def on_error(self, call):
            self.seen.append(("error", call.effect.name))

    watch = Watch(effects=["probe.*", "tool.call"], only=())
    run = make(watch)
    run.errors.append(ToolError("broken"))
    assert [part.method for part in watch.parts()] == ["before", "on_error"]
    with pytest.raises(ToolError):
        await run.do("probe.work")
    await call(run, "shout", "a")
    assert watch.seen == [
        ("before", "probe.work"),
        ("error", "probe.work"),
        ("before", "tool.call"),
    ]
    run[Hooks].remove(watch)
    assert run[Hooks].own() == []


async def test_only_is_for_tools_and_models_by_name(make):
    run = make(Guard(["secret"], effects=["*"], only=["whisper", "other/*"]), replies=["fine"])
    assert await call(run, "shout", "secret") == "SECRET"
    await ask(run, "secret")
    await run.do("probe.work", text="secret")
    for name in ("whisper", "whisper@1"):
        with pytest.raises(HookHalted):
            await call(run, name, "secret")


# Retry


@pytest.fixture
def slept(monkeypatch):
    """The pauses between attempts, which are not waited for; chance always says the longest."""
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)

    monkeypatch.setattr("llmspell.hooks.dispatch.asyncio.sleep", sleep)
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    return pauses


RETRYABLE = ToolError("busy", retryable=True)


async def test_retry_doubles_its_pause_until_it_succeeds(make, slept):
    run = make(Retrying(effects=["probe.work"], attempts=5, delay=0.5, longest=1.5))
    run.errors += [RETRYABLE, EffectTimeout("late", seconds=1), RETRYABLE]
    assert (await run.do("probe.work"))["times"] == 4
    assert slept == [0.5, 1, 1.5]


async def test_retry_gives_up_after_its_attempts(make, slept):
    run = make(Retrying(effects=["probe.work"], attempts=2))
    run.errors += [RETRYABLE] * 5
    with pytest.raises(ToolError, match="busy"):
        await run.do("probe.work")
    assert len(run.done) == 3
    assert slept == [0.5, 1]
    assert (await run.do("probe.work"))["times"] == 6, "each effect has attempts of its own"
    assert slept == [0.5, 1, 0.5, 1]


async def test_retry_waits_as_long_as_the_server_asks(make, slept):
    run = make(Retrying(effects=["probe.work"], longest=60))
    run.errors.append(ProviderError("full", retryable=True, details={"retry_after": 7}))
    await run.do("probe.work")
    assert slept == [7]
    run.errors.append(ProviderError("full", retryable=True, details={"retry_after": 3600}))
    with pytest.raises(ProviderError):
        await run.do("probe.work")


async def test_retry_leaves_what_trying_again_cannot_help(make, slept):
    run = make(Retrying(effects=["probe.work"]))
    run.errors.append(ToolError("wrong"))
    with pytest.raises(ToolError):
        await run.do("probe.work")
    every = make(Retrying(effects=["probe.work"], any_error=True))
    every.errors.append(ToolError("wrong"))
    assert (await every.do("probe.work"))["times"] == 2
    every.errors += [PermissionDenied("no")]
    with pytest.raises(PermissionDenied):
        await every.do("probe.work")


async def test_retry_takes_up_to_a_quarter_off_by_chance(make, slept, monkeypatch):
    monkeypatch.setattr(random, "uniform", lambda low, high: low)
    run = make(Retrying(effects=["probe.work"], delay=1))
    run.errors.append(RETRYABLE)
    await run.do("probe.work")
    assert slept == [0.75]


# Cache


async def test_cache_asks_a_model_once_for_the_same(make):
    run = make(Caching(), replies=["one", "two"])
    first = await ask(run, "a")
    assert await ask(run, "a") == first | {"usage": first["usage"] | {"usd": 0.0}}
    assert (await ask(run, "b"))["message"]["content"] == "two"
    assert len(run.model.requests) == 2


async def test_cache_forgets_after_its_ttl(make):
    run = make(Caching(effects=["probe.work"], ttl=0.02))
    assert (await run.do("probe.work"))["times"] == 1
    await anyio.sleep(0.03)
    assert (await run.do("probe.work"))["times"] == 2


async def test_cache_keeps_no_errors(make):
    run = make(Caching(effects=["probe.work"]))
    run.errors.append(ToolError("once"))
    with pytest.raises(ToolError):
        await run.do("probe.work")
    assert (await run.do("probe.work"))["times"] == 2


@pytest.mark.parametrize(("shared", "times"), [(False, 2), (True, 1)])
async def test_runs_share_what_is_kept_only_when_they_are_to(make, shared, times):
    hook = Caching(effects=["probe.work"], shared=shared)
    run = make(hook)
    await run.do("probe.work")
    run.id = "another run"
    assert (await run.do("probe.work"))["times"] == times


async def test_a_run_that_may_do_less_gets_nothing_of_what_others_kept(make):
    run = make(Caching(shared=True), replies=["one", "two"])
    await ask(run)
    run._services[Permissions] = Permissions(Grants())
    with pytest.raises(PermissionDenied):
        await ask(run)


# Guard


@pytest.mark.parametrize(
    "args",
    [
        {"text": "please rm  -RF / now"},
        {"text": b"\xffrm -rf"},
        {"text": "x", "more": [{"deep": "rm -rf"}]},
        {"text": "x", "rm -rf": 1},
    ],
)
async def test_guard_halts_what_holds_a_text_it_must_not(make, args):
    run = make()
    seen = run[Hooks].register("probe.any", lambda call: None, phase="before")

    @run.probe.effect(bind=lambda effect: {})
    def any() -> str:  # noqa: A001
        run.done.append(1)
        return "done"

    run[Hooks].add(Guard([r"rm\s+-rf"], effects=["probe.*"]))
    assert await run.do("probe.any", text="rm it") == "done"
    with pytest.raises(HookHalted, match="an argument matches"):
        await run.do("probe.any", **args)
    assert run.done == [1]
    assert seen.calls == 2


async def test_guard_judges_what_later_hooks_made_of_the_arguments(make):
    run = make(Guard(["evil"], effects=["probe.work"]))
    run[Hooks].register(
        "probe.work", lambda call: Modify({"text": "evil"}), phase="before", priority=-(2**62)
    )
    with pytest.raises(HookHalted):
        await run.do("probe.work", text="good")
    assert run.done == []


async def test_guard_is_required(make, monkeypatch):
    run = make(Guard(["evil"], effects=["probe.work"]))
    monkeypatch.setattr("llmspell.hooks.builtin.guard._texts", lambda value: 1 / 0)
    with pytest.raises(HookFailed):
        await run.do("probe.work")


@pytest.mark.parametrize("ttl", [0, -1, float("nan")])
def test_cache_refuses_to_keep_for_no_time(ttl):
    with pytest.raises(ValueError, match="ttl must be a number of seconds above 0"):
        Caching(ttl=ttl)


@pytest.mark.parametrize("deny", [["("], []])
def test_guard_refuses_patterns_that_are_none(deny):
    with pytest.raises(ValueError, match=r"regular expression|empty"):
        Guard(deny)


# Redaction

RSA = "-----BEGIN RSA PRIVATE KEY-----\nMIIE+a/b=\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("to anna.b+x@mail.example.co.uk.", "to [redacted email]."),
        ("mailto:a@b.de", "mailto:[redacted email]"),
        ("+49 (0) 30 1234-5678, (555) 123-4567", "[redacted phone], [redacted phone]"),
        ("call 555-123-4567!", "call [redacted phone]!"),
        ("4111 1111 1111 1111 12/27", "[redacted card] 12/27"),
        ("23 5500-0000-0000-0004", "23 [redacted card]"),
        ("378282246310005", "[redacted card]"),
        ("DE89 3704 0044 0532 0130 00 OK", "[redacted iban] OK"),
        ("ES9121000418450200051332 PAID", "[redacted iban] PAID"),
        ("ES91 2100 0418 4502 0005 1332 PAID", "[redacted iban] PAID"),
        ("key sk-abcdefghijklm-op1234", "key [redacted key]"),
        ("AKIAABCDEFGHIJKLMNOP ghp_abcdefghijklmnopqrst", "[redacted key] [redacted key]"),
        ("https://user:pass@host/x", "https://[redacted key]@host/x"),
        (f"a\n{RSA}\nb", "a\n[redacted key]\nb"),
        ("eyJhbGciOi.eyJzdWIi.c2ln", "[redacted key]"),
    ],
)
def test_redaction_finds(text, clean):
    assert Redaction().clean(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",  # Luhn says no
        "DE88 3704 0044 0532 0130 00",  # 97 says no
        "DE89 3704 0044 0532 0130",  # too short
        "1732278890123 2026-11-22 12:34:50 192.168.100.200",
        "x@y, @anna, 3+4567890, 0.4111111111111111",
        "call_12345678901 openai/gpt-5.4-mini key-value-of-something-long",
    ],
)
def test_redaction_leaves(text):
    assert Redaction().clean(text) is text


@pytest.mark.parametrize(
    "part", ["a", "a.", "1 ", "4 ", "AB12 ", "sk-", "a@", "+1", "eyJa.", "://a", "x@a-", "(12)"]
)
def test_redaction_takes_time_in_proportion_to_the_text(part):
    import time

    def seconds(length):
        text = part * (length // len(part))
        begin = time.process_time()
        Redaction().clean(text)
        return time.process_time() - begin

    assert seconds(80_000) < 0.05 + 12 * min(seconds(20_000) for _ in range(3))


async def test_redaction_cleans_arguments_results_and_errors(make):
    run = make(Redaction(effects=["probe.*"]))
    seen = []
    run[Hooks].after("probe.work", priority=10**9)(lambda call: seen.append(call.result["text"]))
    assert (await run.do("probe.work", text="a@b.de", n=5))["text"] == "[redacted email]"
    assert run.done == seen == ["[redacted email]"]
    run.errors.append(ToolError("no a@b.de", hint="ask c@d.de", details={"who": ["e@f.de"]}))
    with pytest.raises(ToolError) as caught:
        await run.do("probe.work")
    assert caught.value.as_table() == {
        "code": "tool_error",
        "message": "no [redacted email]",
        "hint": "ask [redacted email]",
        "details": {"who": ["[redacted email]"]},
        "retryable": False,
    }


async def test_redaction_is_closer_to_the_effect_than_any_other_hook(make):
    run = make(Redaction(effects=["probe.*"]), Retrying(effects=["probe.*"]))

    @run.probe.effect()
    def leak(text: str) -> str:
        run.done.append(text)
        if text == "fail":
            raise ToolError("a@b.de")
        return "c@d.de"

    seen = []
    hooks = run[Hooks]
    last = hooks.before("probe.leak", priority=-(2**62))(lambda call: Modify({"text": "e@f.de"}))
    hooks.after("probe.leak", priority=2**62)(lambda call: seen.append(call.result))
    hooks.on_error("probe.leak", priority=2**62)(lambda call: seen.append(call.error.message))
    await run.do("probe.leak", text="")
    assert run.done == seen == ["[redacted email]"]
    hooks.remove(next(hook for hook in hooks.own() if hook.function is last))
    with pytest.raises(ToolError):
        await run.do("probe.leak", text="fail")
    assert seen[-1] == "[redacted email]"


async def test_redaction_is_required(make, monkeypatch):
    run = make(Redaction(effects=["probe.work"]))
    monkeypatch.setattr(Redaction, "clean", lambda self, value: 1 / 0)
    with pytest.raises(HookFailed):
        await run.do("probe.work")
    assert run.done == []


async def test_redaction_comes_between_a_model_and_everybody(make):
    run = make(Redaction(), replies=["write to x@y.org"])
    answer = await ask(run, "I am a@b.de")
    assert run.model.requests[0].messages[0].text == "I am [redacted email]"
    assert answer["message"]["content"] == "write to [redacted email]"


def test_redaction_of_ones_own_kinds():
    redaction = Redaction(kinds=["email"], patterns={"order": r"\bORD-\d+", "nothing": "q*"})
    text = "ORD-12 of a@b.de, 4111 1111 1111 1111"
    assert redaction.clean(text) == "[redacted order] of [redacted email], 4111 1111 1111 1111"
    with pytest.raises(ValueError, match="not a regular expression"):
        Redaction(patterns={"bad": "("})


# Several as one


def said(answer):
    async def hook(call):
        await anyio.lowlevel.checkpoint()
        return answer

    return hook


ON, NO, NEVER, FIVE = None, Halt("no"), Halt("never"), Replace(5)


@pytest.mark.parametrize(
    ("combined", "answer"),
    [
        (sequential(said(ON), said(FIVE), said(NO)), FIVE),
        (sequential(said(ON), lambda call: NO), NO),
        (sequential(), ON),
        (parallel(said(ON), said(FIVE), said(NO), said(NEVER)), NO),
        (parallel(said(ON), said(FIVE), lambda call: Replace(6)), FIVE),
        (parallel(said(ON)), ON),
        (voting(said(NO), said(ON), said(NEVER)), Halt("no; never")),
        (voting(said(NO), said(ON), said(FIVE)), ON),
        (voting(said(FIVE), said(NO), said(FIVE)), FIVE),
        (voting(said(FIVE), said(NO), needed=1), NO),
        (voting(said(NO), said(NO), said(ON), needed=3), ON),
    ],
)
async def test_several_hooks_as_one(combined, answer):
    assert await combined(None) == answer


async def test_hooks_that_are_asked_in_parallel_wait_together():
    there = anyio.Event()

    async def waits(call):
        await there.wait()

    async def comes(call):
        there.set()

    with anyio.fail_after(2):
        assert await parallel(waits, comes)(None) is None
        assert await voting(waits, comes)(None) is None


async def test_one_that_fails_fails_them_all(make):
    def broken(call):
        raise RuntimeError("broken")

    run = make()
    hook = run[Hooks].register(
        "probe.work", voting(said(ON), broken, said(ON)), phase="before", id="jury", required=True
    )
    with pytest.raises(HookFailed, match=r"jury.*broken"):
        await run.do("probe.work")
    assert hook.failures == 1


@pytest.mark.parametrize("needed", [0, 3])
def test_votes_that_cannot_be(needed):
    with pytest.raises(ValueError, match="votes"):
        voting(said(ON), said(ON), needed=needed)


# Rate limit


async def test_rate_limit_fails_what_would_wait_too_long(make):
    run = make(middleware=[RateLimit(calls=2, per=60, wait=5)], replies=["1", "2", "3"])
    await ask(run)
    await ask(run)
    with pytest.raises(RateLimited, match="scripted/any: at most 2 in 60") as caught:
        await ask(run)
    assert caught.value.retryable
    assert 25 < caught.value.details["retry_after"] <= 30
    assert len(run.model.requests) == 2


async def test_rate_limit_has_others_wait_for_their_turn(make):
    limit = RateLimit(calls=50, per=1, burst=1, effects=["probe.work"])
    run = make(middleware=[limit])
    begin = anyio.current_time()
    async with anyio.create_task_group() as group:
        for n in range(6):
            group.start_soon(lambda n=n: run.do("probe.work", text=str(n), path=f"0/{n}"))
    assert anyio.current_time() - begin >= 0.095
    assert run.done == list("012345")


async def test_rate_limit_counts_each_tool_by_itself(make):
    limit = RateLimit(calls=1, wait=0, effects=["tool.call"], only=["sh*", "wh*"])
    run = make(middleware=[limit])
    assert [await call(run, "shout", "a"), await call(run, "whisper", "B")] == ["A", "b"]
    for name in ("shout", "whisper"):
        with pytest.raises(RateLimited):
            await call(run, name, "c")
    free = make(middleware=[RateLimit(calls=1, wait=0, effects=["tool.call"], only=["x"])])
    assert [await call(free, "shout", "a"), await call(free, "shout", "b")] == ["A", "B"]


async def test_rate_limit_counts_every_attempt_and_nothing_that_was_kept(make):
    limit = RateLimit(calls=2, wait=0, effects=["probe.*"])
    retry = Retrying(effects=["probe.work"], delay=0.001, longest=0.01)
    run = make(retry, Caching(effects=["probe.work"]), middleware=[limit])
    run.errors.append(RETRYABLE)
    for _ in range(5):
        assert (await run.do("probe.work"))["times"] == 2
    with pytest.raises(RateLimited):
        await run.do("probe.work", text="another")


async def test_what_stops_waiting_gives_its_turn_back(make):
    limit = RateLimit(calls=1, per=1000, wait=5000, effects=["probe.work"])
    run = make(middleware=[limit])
    await run.do("probe.work")
    for _ in range(20):
        with anyio.move_on_after(0.001):
            await run.do("probe.work")
    assert limit._buckets["probe.work"].pause() < 1001


def test_rate_limit_forgets_who_has_not_called_for_long(monkeypatch):
    monkeypatch.setattr("llmspell.middleware.rate_limit.MAX_BUCKETS", 3)
    limit = RateLimit(calls=1)
    limit._bucket("busy").tokens -= 1
    for n in range(10):
        limit._bucket(str(n))
    assert len(limit._buckets) <= 3
    assert limit._buckets["busy"].tokens < 1


@pytest.mark.parametrize(
    "options", [{"calls": 0}, {"calls": 1, "per": 0}, {"calls": 1, "burst": 0}]
)
def test_rate_limit_refuses_what_lets_nothing_pass(options):
    with pytest.raises(ValueError, match="above 0"):
        RateLimit(**options)


# Usage, metrics, debugging


async def test_usage_counts_the_tokens_of_each_model(make, caplog):
    usage = TokenUsage()
    run = make(Caching(), middleware=[usage], replies=["four char", "b"])
    await ask(run, "12345678")
    await ask(run, "12345678")
    await ask(run, "1234")
    assert usage.used == {"scripted/any": Usage(input_tokens=3, output_tokens=4)}
    assert usage.requests == {"scripted/any": 2}
    caplog.set_level(logging.INFO, "llmspell.usage")
    usage.close()
    assert "scripted/any: requests: 2, input tokens: 3 (0 cached), output tokens: 4" in caplog.text


async def test_usage_has_a_price(make, caplog):
    usage = TokenUsage()
    run = make(middleware=[usage], replies=["four char"], prices={"scripted/*": Price(1e6, 2e6)})
    await ask(run, "12345678")
    assert usage.used["scripted/any"].usd == 2 * 1 + 3 * 2
    caplog.set_level(logging.INFO, "llmspell.usage")
    usage.close()
    assert "$8.0000" in caplog.text


async def test_usage_is_not_that_of_requests_that_failed(make):
    usage = TokenUsage(effects=["*"])
    run = make(middleware=[usage], replies=[ProviderError("down")])
    with pytest.raises(ProviderError):
        await ask(run)
    await run.do("probe.work")
    assert usage.used == {}


async def test_metrics_in_the_form_of_prometheus(make, tmp_path):
    metrics = Metrics(effects="probe.*", file=tmp_path / "metrics.prom")
    run = make(middleware=[metrics])
    run.errors.append(ToolError("broken"))
    with pytest.raises(ToolError):
        await run.do("probe.work")
    await run.do("probe.work")
    metrics.close()
    text = (tmp_path / "metrics.prom").read_text()
    assert text == metrics.exposition()
    lines = text.splitlines()
    assert 'llmspell_effect_seconds_count{effect="probe.work"} 2' in lines
    assert 'llmspell_effect_errors_total{effect="probe.work",code="tool_error"} 1' in lines
    buckets = [line for line in lines if "_bucket" in line]
    assert len(buckets) == len(BOUNDS) + 1
    counts = [int(line.rpartition(" ")[2]) for line in buckets]
    assert counts == sorted(counts)
    assert buckets[-1] == 'llmspell_effect_seconds_bucket{effect="probe.work",le="+Inf"} 2'
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.prom"]


def test_metrics_that_cannot_be_written_are_reported(tmp_path, caplog):
    Metrics(file=tmp_path / "missing" / "metrics.prom").close()
    assert "the metrics could not be written" in caplog.text


async def test_debugging_shows_arguments_and_results_but_no_keys(make, caplog):
    run = make(middleware=[Debugging(effects="probe.*")])
    caplog.set_level(logging.INFO, "llmspell.effects")
    await run.do("probe.work", text="see sk-abcdefghijkl " + "x" * 5000)
    run.errors.append(ToolError("broken"))
    with pytest.raises(ToolError):
        await run.do("probe.work", text="why")
    done, failed = (record.getMessage() for record in caplog.records)
    assert "{'text': 'see [redacted] xx" in done
    assert "-> {'text':" in done
    assert len(done) < 1000
    assert failed.endswith("with tool_error: broken: {'text': 'why'}")


# By settings


def test_hooks_are_configured_by_name():
    settings = {"guard": {"deny": ["x"]}, "retry": {"attempts": 7, "delay": "20ms"}}
    entries = [HookSettings(name, settings=settings.get(name, {})) for name in SHIPPED["hooks"]]
    hooks = {hook.id: hook for hook in configured(entries, "llmspell.toml")}
    assert {name: type(hook) for name, hook in hooks.items()} == {
        "cache": Caching,
        "costs": Costs,
        "debugging": DebuggingHook,
        "guard": Guard,
        "logging": Logging,
        "redaction": Redaction,
        "retry": Retrying,
    }
    assert (hooks["retry"].attempts, hooks["retry"].delay) == (7, 0.02)


def test_an_entry_says_effects_priority_and_whether_it_is_required():
    entry = HookSettings("redaction", effects=("tool.*",), priority=5, required=False)
    [hook] = configured([entry], "llmspell.toml")
    assert (hook.effects, hook.priority, hook.required) == (("tool.*",), 5, False)
    assert [part.points for part in hook.parts()] == [
        ("before:tool.*",),
        ("after:tool.*",),
        ("error:tool.*",),
    ]
    assert {part.priority for part in hook.parts()} == {None}


def test_a_hook_of_ones_own(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("from llmspell import Hook\nclass Mine(Hook):\n    pass\nnothing = 5\n")
    [hook] = configured([HookSettings(module=f"{file}:Mine")], "llmspell.toml")
    assert isinstance(hook, Hook)
    for entry, problem in [
        (HookSettings("m", module=f"{file}:nothing"), "is not a subclass of Hook"),
        (HookSettings("m", module=f"{file}:Mine", effects=("a",)), "it has its own points"),
        (
            HookSettings("m", module=f"{file}:Mine", settings={"a": 1}),
            "m.settings.a is not a setting",
        ),
    ]:
        with pytest.raises(ConfigError, match=problem):
            configured([entry], "llmspell.toml")


@pytest.mark.parametrize(
    ("name", "settings", "problem", "hint"),
    [
        ("retry", {"attemps": 4}, "hooks.retry.settings.attemps is not a parameter", "attempts"),
        ("retry", {"delay": "soon"}, "hooks.retry.settings.delay: ", "takes "),
        ("retry", {"attempts": 0}, "hooks.retry.settings: attempts must be", None),
        ("guard", {}, "hooks.guard.settings.deny is required", "takes deny"),
        ("guard", {"deny": ["("]}, "hooks.guard.settings: '\\(' is not a regular expression", None),
        ("redaction", {"kinds": ["mail"]}, "hooks.redaction.settings.kinds.0: ", "takes"),
        ("retries", {}, "hooks.retries: no hook has that name", "cache, costs, debugging, guard"),
        ("rate_limit", {}, "hooks.rate_limit: no hook has that name", r"write \[\[middleware\]\]"),
    ],
)
def test_wrong_settings_of_a_hook_are_refused(name, settings, problem, hint):
    with pytest.raises(ConfigError, match=problem) as caught:
        configured([HookSettings(name, settings=settings)], "llmspell.toml")
    assert caught.value.path == "llmspell.toml"
    if hint:
        assert caught.match(problem)
        assert hint.replace("\\", "") in caught.value.hint


def test_a_hook_is_no_middleware():
    with pytest.raises(ConfigError, match=r"middleware\.retry: no middleware") as caught:
        configured_middleware([MiddlewareSettings("retry")], "llmspell.toml")
    hint = "retry is a hook: write [[hooks]] instead of [[middleware]]"
    assert caught.value.hint == hint


def test_middleware_takes_settings_too(tmp_path):
    entries = [
        MiddlewareSettings("rate_limit", settings={"calls": 3, "per": "1s", "wait": 0}),
        MiddlewareSettings(
            "models", module="llmspell.middleware.rate_limit:RateLimit", settings={"calls": 1}
        ),
        MiddlewareSettings("metrics", settings={"file": "m.prom"}),
        MiddlewareSettings("usage"),
        MiddlewareSettings("debugging", effects=("tool.*",)),
    ]
    limit, second, metrics, _, debugging = configured_middleware(
        entries, str(tmp_path / "llmspell.toml")
    )
    assert (limit.calls, limit.per, limit.wait) == (3, 1, 0)
    assert second.name == "models"
    assert metrics.file == tmp_path / "m.prom"
    assert debugging.effects == ("tool.*",)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (MiddlewareSettings("rate_limit"), "rate_limit.settings.calls is required"),
        (MiddlewareSettings("usage", settings={"x": 1}), "usage.settings.x is not a parameter"),
    ],
)
def test_wrong_settings_of_middleware_are_refused(entry, problem):
    with pytest.raises(ConfigError, match=problem):
        configured_middleware([entry], "llmspell.toml")


def test_only_a_class_takes_settings(tmp_path):
    file = tmp_path / "slow.py"
    file.write_text("async def slow(effect, call_next):\n    return await call_next(effect)\n")
    entry = MiddlewareSettings(module=f"{file}:slow", settings={"x": 1})
    with pytest.raises(ConfigError, match="only a class takes settings"):
        configured_middleware([entry], "llmspell.toml")


def entry_of(section, name, settings, **more):
    return {section: [{"name": name, "settings": settings, **more}]}


@pytest.mark.parametrize(
    ("table", "fits"),
    [
        (entry_of("hooks", "retry", {"attempts": 2, "delay": "1s"}), True),
        (entry_of("hooks", "retry", {"attemps": 2}), False),
        (entry_of("hooks", "retry", {"attemps": 2}, module="mine.py:Mine"), True),
        (entry_of("hooks", "redaction", {"kinds": ["mail"]}), False),
        (entry_of("middleware", "rate_limit", {"calls": 2}), True),
        (entry_of("middleware", "rate_limit", {"cals": 2}), False),
        (entry_of("middleware", "metrics", {"effects": ["*"]}), False),
    ],
)
def test_the_schema_of_the_settings_has_theirs(table, fits):
    from jsonschema import Draft202012Validator

    from llmspell.plugins.schema import settings_schema

    schema = settings_schema({})
    assert Draft202012Validator(schema).is_valid(table) is fits
    for entry in ("HookSettings", "MiddlewareSettings"):
        for named in schema["$defs"][entry]["allOf"]:
            properties = named["then"]["properties"]["settings"]["properties"]
            assert all(about.get("description") for about in properties.values())


async def test_costs_are_tracked_by_model_and_not_for_what_was_kept(make, caplog):
    caplog.set_level(logging.INFO, "llmspell.costs")
    costs = Costs()
    run = make(costs, Caching(), replies=["four char", "b"], prices={"scripted/*": Price(1e6, 2e6)})
    await ask(run, "12345678")
    await ask(run, "12345678")
    await ask(run, "1234")
    one = costs.spent["scripted/any"]
    assert (one.calls, one.input_tokens, one.output_tokens, one.usd) == (2, 3, 4, 11.0)
    said = [r.getMessage() for r in caplog.records]
    assert said == [
        "scripted/any: 5 tokens, $8.0000; $8.0000 so far",
        "scripted/any: 2 tokens, $3.0000; $11.0000 so far",
    ]
    await tell_of_runtime(run[Hooks], "runtime.stop", {}, run[Events])
    assert caplog.records[-1].getMessage() == "scripted/any: 2 calls, 7 tokens, $11.0000"


async def test_costs_whose_price_is_not_known_say_so(make, caplog):
    caplog.set_level(logging.INFO, "llmspell.costs")
    run = make(Costs(), replies=["x"])
    await ask(run, "y")
    assert "price unknown" in caplog.text


async def test_logging_as_a_hook_stands_around_the_others(make, caplog):
    caplog.set_level(logging.INFO, "llmspell.effects")

    class Renaming(EffectHook):
        priority = 1000

        def before(self, call):
            return Modify({"text": "secret", "n": 1})

        def after(self, call):
            return Modify("changed")

    run = make(Logging(effects=["probe.*"]), Renaming(effects="probe.work"))
    run.errors.append(ToolError("broken"))
    with pytest.raises(ToolError):
        await run.do("probe.work", text="x")
    await run.do("probe.work", text="x")
    failed, took = (r.getMessage() for r in caplog.records if r.name == "llmspell.effects")
    assert "probe.work failed after" in failed
    assert failed.endswith("with tool_error: broken")
    assert "probe.work took" in took
    assert "secret" not in caplog.text

    caplog.clear()
    run = make(DebuggingHook(effects=["probe.*"]), Renaming(effects="probe.work"))
    await run.do("probe.work", text="x")
    assert caplog.records[-1].getMessage().endswith("{'n': 1, 'text': 'secret'} -> 'changed'")
