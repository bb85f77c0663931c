import logging
from types import SimpleNamespace

import anyio
import pytest

from llmspell.concurrency import settled
from llmspell.effects import Effect, Handler
from llmspell.errors import (
    ConfigError,
    EffectTimeout,
    HookFailed,
    HookHalted,
    InvalidArguments,
    LimitExceeded,
    MiddlewareFailed,
    PermissionDenied,
    ToolError,
)
from llmspell.events import Events
from llmspell.hooks import Halt, Modify, Replace
from llmspell.middleware import ORDER, arrange, compose
from llmspell.middleware.trace import Observers

pytestmark = pytest.mark.anyio


@pytest.fixture
def run(run_with):
    return run_with()


class Witness:
    def __init__(self):
        self.seen = []

    def started(self, effect):
        self.seen.append(("started", effect.name))

    def finished(self, effect, seconds, error):
        assert seconds >= 0
        self.seen.append(("finished", effect.name, type(error).__name__))


# The order


def test_the_order_is_that_of_the_architecture():
    names = [m.name for m in ORDER]
    wanted = [
        "trace",
        "events",
        "validate",
        "hooks",
        "approval",
        "keeping",
        "journal",
        "budget",
        "permissions",
        "deadline",
    ]
    assert names == [name for name in wanted if name in names]


def named(name, **place):
    return type(
        "Mine", (), {"name": name, "wrap": lambda self, handler, call, run: call, **place}
    )()


def test_more_middleware_is_put_in_its_place():
    extra = [named("a", after="trace"), named("b", before="deadline"), named("c", after="a")]
    names = [m.name for m in arrange(extra)]
    assert names == [
        "trace",
        "a",
        "c",
        "events",
        "validate",
        "hooks",
        "approval",
        "keeping",
        "journal",
        "budget",
        "permissions",
        "b",
        "deadline",
    ]
    assert [m.name for m in ORDER] == [n for n in names if len(n) > 1]
    assert arrange([]) == ORDER


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ([named("a")], "'a'"),
        ([named("a", after="b")], "'b'"),
        ([named("a", after="b"), named("b", after="trace")], "'b'"),
        ([named("trace", after="hooks")], "two are named 'trace'"),
        ([named("a", after="trace"), named("a", after="trace")], "two are named 'a'"),
    ],
)
def test_middleware_without_a_place_is_refused(extra, said):
    with pytest.raises(ConfigError) as caught:
        arrange(extra)
    assert said in caught.value.message


def test_middleware_with_nothing_to_do_is_not_in_the_chain(run):
    handler = Handler("probe.plain", lambda: 1)
    assert compose([m for m in ORDER if m.name != "validate"], handler, run) is handler.perform


def test_a_synchronous_effect_is_answered_at_once(run):
    handler = run.probe.handlers["probe.fetch"]
    chain = compose(ORDER, handler, run)
    assert (
        chain(Effect("probe.fetch", {"url": "http://good.com"}, "0/0", run))
        == "got http://good.com"
    )


# Trace


async def test_observers_see_everything_refusals_too(run):
    witness = Witness()
    run[Observers].append(witness)
    await run.do("probe.double", n=1)
    with pytest.raises(InvalidArguments):
        await run.do("probe.double", n="x")
    with pytest.raises(PermissionDenied):
        await run.do("probe.fetch", url="http://evil.com")
    with anyio.move_on_after(0.01):
        await run.do("probe.wait", seconds=9)
    assert [s[-1] for s in witness.seen if s[0] == "finished"] == [
        "NoneType",
        "InvalidArguments",
        "PermissionDenied",
        "CancelledError",
    ]


async def test_an_observer_that_fails_is_told_of_nothing_more(run, caplog):
    class Fails(Witness):
        def __init__(self, at):
            super().__init__()
            self.at = at

        def started(self, effect):
            super().started(effect)
            if self.at == "started":
                raise OSError("no eyes")

        def finished(self, effect, seconds, error):
            super().finished(effect, seconds, error)
            if self.at == "finished":
                raise OSError("no eyes")

    early, late, witness = Fails("started"), Fails("finished"), Witness()
    run[Observers].extend([early, late, witness])
    assert [await run.do("probe.double", n=n) for n in (1, 2)] == [2, 4]
    assert [len(one.seen) for one in (early, late, witness)] == [1, 2, 4]
    said = "the observer Fails failed and receives no further notifications: OSError: no eyes"
    assert caplog.text.count(said) == 2


# The chain


@pytest.mark.parametrize(
    ("wrap", "said"),
    [
        (lambda handler, call, run: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda handler, call, run: None, "wrap returned None, which is not a function"),
    ],
)
async def test_middleware_that_cannot_be_put_around_an_effect_is_named(new_run, wrap, said):
    broken = SimpleNamespace(name="broken", after="hooks", wrap=wrap)
    run = new_run(order=arrange([broken]))
    run.probe.effect("work")(lambda: 1)
    with run[Events].stream("middleware.failed") as told:
        with pytest.raises(MiddlewareFailed, match=f"'broken' at probe.work: {said}"):
            await run.do("probe.work")
        assert (await told.receive(1)).data["middleware"] == "broken"


def _run_within(new_run, *wraps):
    """A run with the effect `probe.work`, inside of middleware that these put around it."""
    names = [f"mine{number}" for number in range(len(wraps))]
    order = [
        SimpleNamespace(name=name, after="hooks", wrap=lambda _, call, run, wrap=wrap: wrap(call))
        for name, wrap in zip(names, wraps, strict=True)
    ]
    run = new_run(order=arrange(order))

    @run.probe.effect()
    async def work(error: str | None = None) -> int:
        if error:
            raise {"tool": ToolError("broken"), "bug": KeyError("x")}[error]
        return 1

    return run


def _passing(call):
    def performed(effect):
        return call(effect)

    return performed


def _awaiting(call):
    async def performed(effect):
        return await settled(call(effect))

    return performed


def _sync_failure(call):
    def performed(effect):
        raise ValueError("not today")

    return performed


def _late_failure(call):
    async def performed(effect):
        await settled(call(effect))
        raise ValueError("not today")

    return performed


def _replaced_error(call):
    async def performed(effect):
        try:
            return await settled(call(effect))
        except KeyError as error:
            raise ValueError("not today") from error

    return performed


@pytest.mark.parametrize(
    ("wrap", "error"),
    [(_sync_failure, "tool"), (_late_failure, None), (_replaced_error, "bug")],
)
async def test_middleware_that_fails_at_an_effect_is_named(new_run, wrap, error):
    run = _run_within(new_run, _awaiting, wrap, _passing)
    with run[Events].stream("middleware.failed") as told:
        with pytest.raises(
            MiddlewareFailed, match=r"'mine1' at probe\.work: ValueError: not today"
        ):
            await run.do("probe.work", error=error)
        assert (await told.receive(1)).data["middleware"] == "mine1"


@pytest.mark.parametrize("wrap", [_passing, _awaiting, lambda call: call])
@pytest.mark.parametrize(("error", "kind"), [("tool", ToolError), ("bug", KeyError)])
async def test_what_fails_inside_of_middleware_is_passed_on(new_run, wrap, error, kind):
    run = _run_within(new_run, wrap, wrap)
    assert await run.do("probe.work") == 1
    with pytest.raises(kind):
        await run.do("probe.work", error=error)


# Validate


async def test_hooks_and_handlers_see_checked_arguments(run):
    seen = []
    run.hooks.before("probe.double")(lambda call: seen.append(call.effect.bound))
    assert await run.do("probe.double", n="4") == 8
    assert seen == [{"n": 4}]
    with pytest.raises(InvalidArguments):
        await run.do("probe.double", m=1)
    assert len(seen) == 1


# Hooks


async def test_modified_arguments_are_checked_again(run):
    run.hooks.before("probe.double")(lambda call: Modify({"n": "5"}))
    assert await run.do("probe.double", n=1) == 10
    assert run.done == [5]


@pytest.mark.parametrize("args", [{"n": "x"}, {}, [], "text", None, {"n": 1, "m": 2}])
async def test_arguments_a_hook_spoilt_are_refused(run, args):
    run.hooks.before("probe.double")(lambda call: Modify(args))
    with pytest.raises(InvalidArguments):
        await run.do("probe.double", n=1)
    assert run.done == []


async def test_an_empty_list_from_a_hook_is_an_empty_table(run):
    run.hooks.before("probe.fail", priority=1)(lambda call: Modify([]))
    seen = []
    run.hooks.before("probe.fail")(lambda call: seen.append(call.effect.args))
    with pytest.raises(ToolError):
        await run.do("probe.fail", kind="bug")
    assert seen == [{}]


async def test_permissions_judge_what_a_hook_made_of_the_arguments(run):
    run.hooks.before("probe.fetch")(lambda call: Modify({"url": "http://evil.com"}))
    with pytest.raises(PermissionDenied, match=r"evil\.com"):
        await run.do("probe.fetch", url="http://good.com")
    assert run.done == []


async def test_each_after_hook_sees_the_last_ones_result(run):
    run.hooks.after("probe.double", priority=2)(lambda call: Modify(call.result + 1))
    run.hooks.after("probe.double", priority=1)(lambda call: None)
    run.hooks.after("probe.double")(lambda call: Replace([call.result]))
    assert await run.do("probe.double", n=1) == [3]


async def test_a_replaced_effect_is_not_done(run):
    later = []
    run.hooks.before("probe.double", priority=1)(lambda call: Replace(None))
    run.hooks.before("probe.double")(later.append)
    run.hooks.after("probe.double")(lambda call: Modify([call.result]))
    assert await run.do("probe.double", n=1) == [None]
    assert (run.done, later) == ([], [])


@pytest.mark.parametrize("phase", ["before", "after", "error"])
async def test_halting_stops_the_effect_and_later_hooks(run, phase):
    later = []
    effect = "probe.fail" if phase == "error" else "probe.double"
    run.hooks.register(f"{phase}:{effect}", lambda call: Halt("no"), id="guard", priority=1)
    run.hooks.register(f"{phase}:{effect}", later.append)
    run.hooks.register(f"error:{effect}", lambda call: Replace("forgiven"), priority=-1)
    with pytest.raises(HookHalted, match=r"guard.*no"):
        await run.do(effect, **({} if phase == "error" else {"n": 1}))
    assert later == []
    assert run.done == ([1] if phase == "after" else [])


async def test_error_hooks_see_the_error_and_may_forgive(run):
    seen = []
    run.hooks.on_error("probe.*", priority=1)(lambda call: seen.append(call.error))
    with pytest.raises(ToolError):
        await run.do("probe.fail")
    run.hooks.on_error("probe.*")(lambda call: Replace("forgiven"))
    run.hooks.after("probe.fail")(lambda call: Modify(f"{call.result}!"))
    assert await run.do("probe.fail") == "forgiven!"
    assert await run.do("probe.fetch", url="http://evil.com") == "forgiven"
    assert await run.do("probe.wait", seconds=9, most=0.01) == "forgiven"
    assert [type(e) for e in seen] == [ToolError, ToolError, PermissionDenied, EffectTimeout]


async def test_what_ends_the_run_is_not_forgiven(run):
    run.hooks.on_error("probe.fail")(lambda call: Replace("forgiven"))
    with pytest.raises(LimitExceeded):
        await run.do("probe.fail", kind="limit")
    assert await run.do("probe.fail", kind="bug") == "forgiven"


def raises(call):
    raise RuntimeError("oops")


def raises_effect_error(call):
    raise ToolError("oops")


def answers_nonsense(call):
    return "oops"


async def takes_long(call):
    await anyio.sleep(9)


FAULTS = [raises, raises_effect_error, answers_nonsense, takes_long]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("phase", ["before", "after"])
async def test_a_failing_hook_is_passed_over_counted_and_logged(run, caplog, fault, phase):
    hook = run.hooks.register(f"{phase}:probe.double", fault, timeout=0.01)
    with caplog.at_level(logging.WARNING, "llmspell.hooks"):
        assert await run.do("probe.double", n=2) == 4
    assert hook.failures == 1
    assert run.hooks.guard == set()
    assert fault.__name__ in caplog.text
    assert ("0.01 seconds" if fault is takes_long else "oops") in caplog.text


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_failing_guard_fails_the_effect(run, fault):
    run.hooks.register("before:probe.double", fault, timeout=0.01, required=True)
    with pytest.raises(HookFailed, match=fault.__name__):
        await run.do("probe.double", n=2)
    assert run.done == []


async def test_a_limit_breached_in_a_hook_is_not_passed_over(run):
    @run.hooks.before("probe.double")
    def full(call):
        raise LimitExceeded("full", limit="effects", value=5)

    with pytest.raises(LimitExceeded):
        await run.do("probe.double", n=1)


async def test_a_hooks_own_effects_pass_it_by(run):
    calls = []

    @run.hooks.before("probe.*")
    async def nosy(call):
        calls.append(call.effect.path)
        await call.effect.perform("probe.double", n=7)

    await run.do("probe.double", n=1)
    assert calls == ["0/0"]
    assert run.done == [7, 1]


async def test_cancelling_is_no_failure_of_a_hook(run):
    hook = run.hooks.register("before:probe.double", takes_long)
    with anyio.move_on_after(0.01) as scope:
        await run.do("probe.double", n=1)
    assert scope.cancelled_caught
    assert (hook.failures, run.hooks.guard) == (0, set())


# Permission


async def test_what_an_effect_needs_is_judged(run):
    assert await run.do("probe.fetch", url="http://good.com/x") == "got http://good.com/x"
    with pytest.raises(PermissionDenied, match=r"probe may not reach evil\.com"):
        await run.do("probe.fetch", url="http://evil.com")


# Deadline


async def test_an_effect_ends_in_time_or_is_cancelled(run):
    assert await run.do("probe.wait", seconds=0, most=5) == "slept"
    assert await run.do("probe.wait", seconds=0, most=None) == "slept"
    with pytest.raises(EffectTimeout, match=r"probe\.wait .*0\.01 seconds") as caught:
        await run.do("probe.wait", seconds=9, most=0.01)
    assert caught.value.retryable
    assert caught.value.details == {"seconds": 0.01}


async def test_a_cancelled_effect_has_not_timed_out(run):
    with anyio.move_on_after(0.01) as scope:
        await run.do("probe.wait", seconds=9, most=8)
    assert scope.cancelled_caught
