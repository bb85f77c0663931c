"""Hooks that fail: what is reported, when they are left out, and whose work they see."""

import logging
from pathlib import Path

import anyio
import pytest

from llmspell.eager_steps import TookTooLong, run_eagerly, within
from llmspell.effects import Effect
from llmspell.errors import HookFailed
from llmspell.events import Events
from llmspell.hooks import Fork, Halt, Hook, Hooks, Modify, Redirect, Replace, tell
from llmspell.hooks.circuit_breaker import CircuitBreaker

pytestmark = pytest.mark.anyio


@pytest.fixture
def run(new_run):
    run = new_run()
    run.hooks = run[Hooks]

    @run.probe.effect()
    def work(n: int = 1) -> int:
        return n * 2

    return run


class Flaky:
    def __init__(self):
        self.broken = True
        self.calls = 0

    def __call__(self, call):
        self.calls += 1
        if self.broken:
            raise ValueError("oops")


# The circuit


async def test_a_hook_that_fails_again_and_again_is_left_out_for_a_while(run, caplog):
    flaky = Flaky()
    hook = run.hooks.register(
        "before:probe.work", flaky, id="flaky", max_failures=3, cool_down=0.03
    )
    for _ in range(5):
        assert await run.do("probe.work") == 2
    assert (flaky.calls, hook.calls, hook.failures, hook.circuit.state) == (3, 3, 3, "open")
    assert "3 times in a row, so it is skipped for 0.03 seconds" in caplog.text

    await anyio.sleep(0.04)
    assert hook.circuit.state == "half-open"
    await run.do("probe.work")
    await run.do("probe.work")
    assert (flaky.calls, hook.circuit.state) == (4, "open")

    await anyio.sleep(0.04)
    flaky.broken = False
    await run.do("probe.work")
    await run.do("probe.work")
    assert (flaky.calls, hook.failures, hook.circuit.state) == (6, 4, "closed")


async def test_only_failures_in_a_row_count(run):
    flaky = Flaky()
    hook = run.hooks.register("before:probe.work", flaky, max_failures=2)
    for flaky.broken in (True, False, True, False, True, False):
        await run.do("probe.work")
    assert (flaky.calls, hook.failures, hook.circuit.state) == (6, 3, "closed")


async def test_while_a_guard_is_left_out_the_effect_fails(run):
    flaky = Flaky()
    run.hooks.register("before:probe.work", flaky, id="guard", required=True, max_failures=2)
    for said in ("oops", "oops", "required, but it failed 2 times in a row"):
        with pytest.raises(HookFailed, match=said):
            await run.do("probe.work")
    assert flaky.calls == 2


def test_a_circuit_lets_one_call_try():
    circuit = CircuitBreaker(1, 0)
    assert circuit.failed()
    assert circuit.state == "half-open"
    slow = CircuitBreaker(1, 99)
    slow.failed()
    assert (slow.state, slow.admits()) == ("open", False)
    slow._until -= 99
    assert (slow.state, slow.admits(), slow.admits()) == ("half-open", True, False)


@pytest.mark.parametrize(
    "options", [{"max_failures": 0}, {"cool_down": -1}, {"timeout": 0}, {"timeout": float("nan")}]
)
def test_numbers_that_make_no_sense_are_refused(options):
    hooks = Hooks()
    with pytest.raises(ValueError, match="must be"):
        hooks.register("before:x", print, **options)
    assert hooks.own() == []


# Reports


async def test_failures_are_events(run):
    seen = []
    run[Events].subscribe("hook.failed", lambda event: seen.append(event.data))
    run.hooks.register("before:probe.work", Flaky(), id="flaky", max_failures=1)
    await run.do("probe.work")
    await anyio.sleep(0.01)
    assert seen == [
        {
            "hook": "flaky",
            "phase": "before",
            "effect": "probe.work",
            "message": "oops",
            "required": False,
            "circuit": "open",
        }
    ]


@pytest.mark.parametrize(
    ("phase", "result"),
    [
        ("before", Modify({"n": object()})),
        ("before", Replace([object()])),
        ("after", Replace(object())),
        ("before", Redirect(effect="probe.work", args={"n": object()})),
        ("before", Fork(("probe.work", {"n": object()}))),
    ],
)
async def test_a_result_that_lua_cannot_have_names_the_hook(run, caplog, phase, result):
    point = f"{phase}:probe.work"
    run.hooks.register(point, lambda call: result, id="odd")
    assert await run.do("probe.work") == 2
    kind = type(result).__name__
    said = f"hook 'odd' {phase} probe.work failed: its {kind}: a value of type object cannot"
    assert said in caplog.text
    run.hooks.register(point, lambda call: result, id="guard", required=True)
    with pytest.raises(HookFailed, match=r"hook 'guard' .* cannot be passed to Lua"):
        await run.do("probe.work")


async def test_values_in_results_are_converted(run):
    run.hooks.after("probe.work")(lambda call: Replace({Path("a")}))
    assert await run.do("probe.work") == ["a"]


async def test_a_timeout_of_the_hooks_own_is_no_timeout_of_the_hook(run, caplog):
    @run.hooks.before("probe.work")
    async def impatient(call):
        with anyio.fail_after(0.01):
            await anyio.sleep(5)

    await run.do("probe.work")
    assert "seconds" not in caplog.text
    assert "impatient" in caplog.text


# Removal


async def test_a_hook_that_is_removed_is_not_called_by_dispatches_under_way(run):
    called = []
    hook = run.hooks.register("before:probe.work", called.append)
    run.hooks.before("probe.work", priority=1)(lambda call: run.hooks.remove(hook))
    await run.do("probe.work")
    assert called == []


async def test_a_hook_that_is_added_is_called_from_the_next_effect_on(run):
    called = []

    def add(call):
        run.hooks.register("before:probe.work", called.append)

    first = run.hooks.register("before:probe.work", add, priority=1)
    await run.do("probe.work")
    assert called == []
    run.hooks.remove(first)
    await run.do("probe.work")
    assert len(called) == 1


# A hook's own work


async def test_what_a_hook_does_in_one_run_hides_nothing_in_another(new_run):
    host = Hooks()
    runs = [new_run(), new_run()]
    halted = []

    @host.before("probe.work")
    async def guard(call):
        if not halted:
            halted.append(call.effect.run)
            await go.wait()
        return Halt("no")

    go = anyio.Event()
    for run in runs:
        run._services[Hooks] = Hooks(host)
        run.probe.effect("work")(lambda: "done")

    async def first():
        with pytest.raises(Exception, match="no"):
            await runs[0].do("probe.work", path="0/1")

    async with anyio.create_task_group() as group:
        group.start_soon(first)
        await anyio.sleep(0.001)
        await anyio.sleep(0.001)
        with pytest.raises(Exception, match="no"):
            await runs[1].do("probe.work", path="0/1/0")
        go.set()


# Hook, the class


class Recorder(Hook):
    id = "recorder"
    priority = 3
    required = True
    timeout = 5

    def __init__(self):
        self.seen = []

    async def on_tool_execute(self, call):
        self.seen.append(call.effect.args["name"])

    async def on_run_end(self, call):
        self.seen.append(call.effect.args)

    async def on_state_change(self, call, old, new):
        self.seen.append((call.effect.name, old, new))


def test_only_methods_that_are_overridden_are_registered():
    hooks = Hooks()
    registered = hooks.add(Recorder())
    assert [(h.id, h.phase, h.patterns[0]) for h in registered] == [
        ("recorder.on_tool_execute", "before", "tool.call"),
        ("recorder.on_run_end", "at", "run.end"),
        ("recorder.on_state_change", "before", "state.set"),
        ("recorder.on_state_change", "after", "state.set"),
    ]
    assert {(h.priority, h.required, h.timeout) for h in registered} == {(3, True, 5)}
    assert hooks.matching("model.request") == {}
    assert Hooks().add(Hook()) == []


def test_all_methods_of_a_hook_are_removed_together():
    hooks = Hooks()
    kept = hooks.register("before:tool.call", print)
    recorder = Recorder()
    registered = hooks.add(recorder)
    hooks.remove(recorder)
    assert hooks.own() == [kept]
    assert all(hook.removed for hook in registered)


async def test_every_method_of_the_class_does_nothing(run):
    methods = [name for name in vars(Hook) if name.startswith("on_")]
    every = type("Every", (Hook,), {name: _calling_super(name) for name in methods})()
    registered = run.hooks.add(every)
    assert {hook.id.partition(".")[2] for hook in registered} == set(methods)
    for name in methods:
        arguments = (None, 1, 2) if name == "on_state_change" else (None,)
        assert await getattr(every, name)(*arguments) is None


def _calling_super(name):
    async def method(self, *arguments):
        return await getattr(Hook, name)(self, *arguments)

    return method


async def test_a_method_is_a_hook_like_any_other(run):
    class Tenfold(Hook):
        async def on_tool_result(self, call):
            return Modify(call.result * 10)

    hooks = Hooks()
    hooks.add(Tenfold())
    assert hooks.own()[0].id == "Tenfold.on_tool_result"


# Points of the life cycle


async def test_only_where_something_begins_a_hook_may_stop_it(run, caplog):
    run.hooks.at("run.end")(lambda call: Halt("no"))
    run.hooks.at("run.end", required=True)(lambda call: Modify(1))
    with caplog.at_level(logging.WARNING):
        await tell(run.hooks, Effect("run.end", {}, "run/0", run))
    assert [hook.failures for hook in run.hooks.own()] == [1, 1]
    assert "can only observe" in caplog.text


# Steps


async def test_work_that_need_not_wait_sets_no_timer():
    async def at_once_done():
        return 5

    assert await within(0, at_once_done()) == 5


async def test_work_that_waits_is_ended_in_time():
    ended = []

    async def slow():
        try:
            with anyio.CancelScope():
                await anyio.sleep(9)
        finally:
            ended.append(True)

    with pytest.raises(TookTooLong, match=r"0\.01 seconds"):
        await within(0.01, slow())
    assert ended == [True]
    assert await within(9, _after_a_moment(5)) == 5


async def _after_a_moment(value):
    await anyio.sleep(0.001)
    return value


async def test_steps_are_sent_what_came_of_what_they_await():
    def steps():
        got = yield _after_a_moment(1)
        try:
            yield _failing()
        except KeyError:
            got += 1
        return got

    rest = run_eagerly(steps())
    assert await rest == 2


async def test_steps_may_end_in_something_to_await():
    def steps(first=None):
        if first is not None:
            yield first
        return _after_a_moment(7)

    assert await run_eagerly(steps()) == 7
    assert await run_eagerly(steps(_after_a_moment(1))) == 7


async def _failing():
    await anyio.sleep(0.001)
    raise KeyError("x")


def test_steps_that_wait_for_nothing_are_taken_at_once():
    def steps():
        return 5
        yield

    assert run_eagerly(steps()) == 5


async def test_the_rest_of_steps_can_be_closed():
    ended = []

    def steps():
        try:
            yield _after_a_moment(1)
        finally:
            ended.append(True)

    run_eagerly(steps()).close()
    assert ended == [True]


def test_a_misspelt_method_is_told():
    class Typo(Hook):
        async def on_tool_exceute(self, call): ...

    class Own(Hook):
        def on_button(self): ...

    with pytest.raises(
        ValueError, match=r"Typo\.on_tool_exceute is never called; did you mean on_t"
    ):
        Hooks().add(Typo())
    assert Hooks().add(Own()) == []
