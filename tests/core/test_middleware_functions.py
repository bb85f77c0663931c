"""Middleware that is an async function of an effect and of what comes next; and what is shipped."""

import logging
import sys

import anyio
import pytest

from llmspell.config import MiddlewareSettings
from llmspell.effects import Handler
from llmspell.errors import (
    ConfigError,
    InvalidArguments,
    LimitExceeded,
    MiddlewareFailed,
    PermissionDenied,
    PluginError,
    ToolError,
)
from llmspell.events import Events
from llmspell.metrics.effect_metrics import EffectMetrics
from llmspell.middleware import arrange, compose, middleware
from llmspell.middleware.configured import configured
from llmspell.middleware.deadline import Deadline
from llmspell.middleware.logs import Logging
from llmspell.middleware.metrics import Metrics
from llmspell.middleware.stack import Stack
from llmspell.middleware.validate import Validate

pytestmark = pytest.mark.anyio


async def test_a_plain_function_stands_around_every_effect(run_with):
    async def more(effect, call_next):
        return await call_next(effect) + 1

    run = run_with(more)
    assert await run.do("probe.double", n=2) == 5
    assert await run.do("probe.halve", n=4) == 3


async def test_functions_stand_outside_the_hooks_in_the_order_given():
    async def first(effect, call_next): ...

    async def second(effect, call_next): ...

    names = [m.name for m in arrange([first, second])]
    at = names.index("hooks")
    assert names[at - 2 : at] == ["first", "second"]


async def test_only_the_effects_it_names_have_it_in_their_chain(run_with):
    @middleware(effects=["probe.d*", "other.*"], name="picky", after="deadline")
    async def noisy(effect, call_next):
        raise KeyError

    assert noisy.name == "picky"
    run = run_with(noisy)
    assert await run.do("probe.halve", n=4) == 2
    with pytest.raises(MiddlewareFailed):
        await run.do("probe.double", n=4)
    plain = Handler("probe.plain", lambda: 1)
    chain = [m for m in arrange([noisy]) if m.name != "validate"]
    assert compose(chain, plain, run) is plain.perform


async def test_it_may_answer_itself_retry_and_forgive(run_with):
    @middleware(effects="probe.double")
    async def cached(effect, call_next):
        return "cached" if effect.bound["n"] == 1 else await call_next(effect)

    @middleware(effects="probe.fail")
    async def patient(effect, call_next):
        for _ in range(2):
            try:
                return await call_next(effect)
            except ToolError:
                run.done.append("again")
        return "gave up"

    run = run_with(cached, patient)
    assert await run.do("probe.double", n="1") == "cached"
    assert await run.do("probe.double", n=2) == 4
    assert await run.do("probe.fail") == "gave up"
    assert run.done == [2, "again", "again"]


async def test_arguments_it_sets_are_checked_and_judged(run_with):
    @middleware(effects=["probe.double", "probe.fetch"])
    async def changed(effect, call_next):
        effect.args = {"n": "5"} if effect.name == "probe.double" else {"url": "http://evil.com"}
        return await call_next(effect)

    run = run_with(changed)
    assert await run.do("probe.double", n=1) == 10
    with pytest.raises(PermissionDenied, match=r"evil\.com"):
        await run.do("probe.fetch", url="http://good.com")


async def test_arguments_it_spoils_are_refused(run_with):
    async def spoils(effect, call_next):
        effect.args = {"m": 1}
        return await call_next(effect)

    run = run_with(spoils)
    with pytest.raises(InvalidArguments):
        await run.do("probe.double", n=1)
    assert run.done == []


async def raises(effect, call_next):
    await call_next(effect)
    raise KeyError("x")


async def hangs(effect, call_next):
    await anyio.sleep_forever()


async def answers_nonsense(effect, call_next):
    await call_next(effect)
    return object()


FAULTS = {raises: "KeyError: 'x'", hangs: "took more than 0.02 seconds", answers_nonsense: "object"}


@pytest.mark.parametrize(
    ("fault", "said"), FAULTS.items(), ids=lambda f: getattr(f, "__name__", "")
)
async def test_its_own_failure_fails_the_effect_and_is_told(run_with, caplog, fault, said):
    run = run_with(middleware(timeout=0.02)(fault))
    told = []
    run[Events].subscribe("middleware.*", told.append)
    with pytest.raises(MiddlewareFailed) as caught:
        await run.do("probe.double", n=1)
    assert caught.value.message.startswith(f"middleware '{fault.__name__}' at probe.double: ")
    assert said in caught.value.message
    assert said in caplog.text
    await anyio.sleep(0.01)
    assert [event.topic for event in told] == ["middleware.failed"]
    await run[Events].close()


@pytest.mark.parametrize(
    ("kind", "error"), [("tool", ToolError), ("limit", LimitExceeded), ("bug", KeyError)]
)
async def test_what_fails_further_in_is_not_its_failure(run_with, caplog, kind, error):
    @middleware()
    async def through(effect, call_next):
        return await call_next(effect)

    with pytest.raises(error):
        await run_with(through).do("probe.fail", kind=kind)
    assert caplog.text == ""


async def test_an_error_of_ours_that_it_raises_is_passed_on(run_with):
    @middleware()
    async def guard(effect, call_next):
        raise PermissionDenied("not today")

    with pytest.raises(PermissionDenied, match="not today"):
        await run_with(guard).do("probe.double", n=1)


async def test_what_it_waits_for_does_not_count_as_its_time(run_with):
    @middleware(timeout=0.05)
    async def patient(effect, call_next):
        return await call_next(effect)

    assert await run_with(patient).do("probe.wait", seconds=0.1) == "slept"


async def test_cancelling_is_no_failure(run_with, caplog):
    run = run_with(hangs)
    with anyio.move_on_after(0.01) as scope:
        await run.do("probe.double", n=1)
    assert scope.cancelled_caught
    assert caplog.text == ""


@pytest.mark.parametrize("given", [lambda effect, call_next: 1, 5, None, Metrics])
def test_what_is_no_middleware_is_refused(given):
    with pytest.raises(ConfigError, match="is not an async function") as caught:
        arrange([given])
    assert "call_next" in caught.value.hint


def test_both_before_and_after_is_refused():
    with pytest.raises(ConfigError, match="'metrics' has both before and after"):
        arrange([Metrics(before="hooks", after="trace")])


# Shipped


async def test_effects_are_logged_without_their_arguments(run_with, caplog):
    run = run_with(Logging(effects="probe.*"))
    with caplog.at_level(logging.INFO, "llmspell.effects"):
        await run.do("probe.double", n=123456)
        with pytest.raises(ToolError):
            await run.do("probe.fail")
        with anyio.move_on_after(0.01):
            await run.do("probe.wait", seconds=9)
    took, failed, cancelled = caplog.records
    assert took.getMessage().startswith("run run 0/0 probe.double took ")
    assert (took.levelname, failed.levelname) == ("INFO", "WARNING")
    assert "probe.fail failed after " in failed.getMessage()
    assert failed.getMessage().endswith(" ms with tool_error: broken")
    assert "was cancelled after" in cancelled.getMessage()
    assert "123456" not in caplog.text


async def test_effects_are_counted_and_timed(run_with, caplog):
    metrics = Metrics()
    run = run_with(metrics)
    for n in range(3):
        await run.do("probe.double", n=n)
        await run.do("probe.halve", n=n)
    with pytest.raises(InvalidArguments):
        await run.do("probe.halve", n="x")
    with pytest.raises(ToolError):
        await run.do("probe.fail")
    await run.do("probe.wait", seconds=0.02)
    with anyio.move_on_after(0.01):
        await run.do("probe.wait", seconds=9)
    measured = metrics.measured
    assert {name: m.calls for name, m in measured.items()} == {
        "probe.double": 3,
        "probe.halve": 4,
        "probe.fail": 1,
        "probe.wait": 2,
    }
    assert measured["probe.halve"].errors == {"invalid_arguments": 1}
    assert measured["probe.fail"].errors == {"tool_error": 1}
    assert measured["probe.wait"].errors == {"cancelled": 1}
    assert 0.02 <= measured["probe.wait"].slowest <= measured["probe.wait"].seconds
    with caplog.at_level(logging.INFO, "llmspell.metrics"):
        metrics.close()
    assert "probe.halve: 4, 1 failed, mean " in caplog.text


async def test_a_synchronous_effect_stays_one(run_with):
    run = run_with()
    handler = run.probe.handlers["probe.halve"]
    chain = compose([Metrics()], handler, run)
    effect = type("E", (), {"bound": {"n": 4}})()
    assert chain(effect) == 2


def test_quantiles_are_at_most_twice_too_much():
    measured = EffectMetrics()
    assert measured.quantile(0.5) == 0
    for n in range(1, 1001):
        measured.add(n / 1000)
    for share in (0.01, 0.5, 0.95, 1):
        assert share <= measured.quantile(share) <= 2 * share
    measured.add(5000)
    assert measured.quantile(1) == 5000


# By config


@pytest.fixture
def module(monkeypatch):
    module = type(sys)("company_middleware")
    module.raises = raises
    module.quiet = middleware(effects="probe.*", after="trace")(hangs)
    module.Metrics = Metrics
    module.validate = Validate()
    monkeypatch.setitem(sys.modules, "company_middleware", module)
    return module


def made(**entry):
    [found] = configured([MiddlewareSettings(**entry)], "llmspell.toml")
    return found


def test_the_shipped_ones_are_made_by_name():
    logs = made(name="logging", effects=("tool.*",))
    assert (logs.name, logs.effects, logs.after) == ("logging", ("tool.*",), "trace")
    metrics = made(name="metrics", before="deadline")
    assert (metrics.effects, metrics.before, metrics.after) == (("*",), "deadline", None)
    assert [m.name for m in arrange([logs, metrics])][:2] == ["trace", "logging"]


def test_ones_own_are_found_by_module(module):
    own = made(module="company_middleware:raises", name="mine", effects=("a.*",), after="hooks")
    assert (own.name, own.effects, own.before, own.after) == ("mine", ("a.*",), None, "hooks")
    quiet = made(module="company_middleware:quiet", name="louder")
    assert (quiet.name, quiet.effects, quiet.after) == ("louder", ("probe.*",), "trace")
    assert module.quiet.name == "hangs"
    assert made(module="company_middleware:Metrics", name="more").name == "more"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("metrcs", "did you mean metrics?"),
        ("x", "available: "),
    ],
)
def test_another_name_is_suggested(name, hint):
    with pytest.raises(ConfigError) as caught:
        made(name=name)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"name": "loging"}, "middleware.loging: no middleware has that name"),
        ({"module": "company_middleware:gone"}, "has no attribute 'gone'"),
        ({"module": "no_such_module_at_all:x"}, "no_such_module_at_all"),
        ({"module": "company_middleware"}, "it does not name anything in a module"),
        ({"module": "company_middleware:__name__"}, "is not an async function"),
        (
            {"module": "company_middleware:validate", "effects": ("a",)},
            "middleware.validate.effects: it applies to all effects",
        ),
    ],
)
def test_what_is_not_there_is_told(module, entry, said):
    with pytest.raises((ConfigError, PluginError)) as caught:
        made(**entry)
    assert said in caught.value.message


async def test_a_stack_is_built_from_the_outside_in(new_run):
    seen = []

    def telling(name):
        async def tell(effect, call_next):
            seen.append(name)
            return await call_next(effect)

        return tell

    stack = (
        Stack(effects="probe.*")
        .with_middleware(telling("a"), name="a")
        .with_middleware(Metrics(), name="b")
        .with_middleware(telling("c"), name="c", effects=["probe.work"])
        .build()
    )
    order = arrange(stack)
    assert [m.name for m in order][:4] == ["trace", "a", "b", "c"]
    run = new_run(order=order)

    @run.probe.effect()
    def work() -> int:
        return 1

    @run.probe.effect()
    def rest() -> int:
        return 2

    await run.do("probe.work")
    await run.do("probe.rest")
    assert seen == ["a", "c", "a"]
    assert stack[1].measured.keys() == {"probe.work", "probe.rest"}


def test_a_stack_leaves_what_it_was_given_as_it_is():
    metrics = Metrics()
    (copy,) = Stack(after="hooks").with_middleware(metrics, name="other").build()
    assert (metrics.name, metrics.after, copy.name, copy.after) == (
        "metrics",
        "trace",
        "other",
        "hooks",
    )


def test_what_cannot_be_stacked_is_refused():
    with pytest.raises(ConfigError):
        Stack().with_middleware(5)
    with pytest.raises(ValueError, match="deadline applies to all effects"):
        Stack(effects="x").with_middleware(Deadline())
    with pytest.raises(ConfigError, match="two are named 'metrics'"):
        arrange(Stack().with_middleware(Metrics()).with_middleware(Metrics()).build())
