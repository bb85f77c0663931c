"""The truth table of docs/hooks.md: what each result of a hook does in each phase."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest

from llmspell.errors import HookFailed, HookHalted, InvalidArguments, LimitExceeded, ToolError
from llmspell.hooks import (
    Cache,
    Fork,
    Halt,
    Hooks,
    Modify,
    Redirect,
    Replace,
    Retry,
    Skip,
)
from llmspell.hooks.cache import HookCache
from llmspell.limits import Limits

pytestmark = pytest.mark.anyio

OTHER, BROKEN = Redirect(effect="probe.other"), Redirect(effect="probe.broken")
NOTE = Fork(("probe.note", {"text": "noted"}))


@pytest.fixture
def run(new_run):
    run = new_run()
    run.done, run.notes, run.counted = [], [], 0
    run.hooks = run[Hooks]

    @run.probe.effect()
    async def work(n: int, failures: int = 0) -> int:
        run.done.append(n)
        if len(run.done) <= failures:
            raise ToolError("broken")
        return n * 2

    @run.probe.effect()
    def other(n: int, failures: int = 0) -> str:
        return f"other {n}"

    @run.probe.effect()
    async def broken(n: int = 0, failures: int = 0) -> None:
        raise ToolError("the other is broken, too")

    @run.probe.effect()
    async def note(text: str) -> None:
        run.notes.append(text)

    def count():
        run.counted += 1
        if run.counted > run[Limits].effects:
            raise LimitExceeded("too many effects", limit="effects", value=run[Limits].effects)

    run.count = count
    return run


@dataclass
class Row:
    """In `phase`, the first hook says `said`, of an effect that fails `failures` times.

    `asked`: which of the hooks that come later are: another of this phase, the one after the
    effect, the one on its error.
    """

    phase: str
    said: Any
    outcome: Any
    asked: str = ""
    done: int = 1
    failures: int = 0
    kept: tuple[Any, ...] = ()
    notes: list[str] = field(default_factory=list)

    def __str__(self):
        failing = f" failing {self.failures} times" if self.failures else ""
        return f"{self.phase} {self.said}{failing}{' kept' if self.kept else ''}"


TABLE = [
    Row("before", None, 2, "later after"),
    Row("before", Modify({"n": 5}), 10, "later after"),
    Row("before", Replace("instead"), "instead", "after", done=0),
    Row("before", Halt("no"), HookHalted, done=0),
    Row("before", Retry(0, 2), 2, "later after"),
    Row("before", Retry(0, 2), 2, "later after", done=3, failures=2),
    Row("before", Retry(0, 2), ToolError, "later error", done=3, failures=3),
    Row("before", OTHER, "other 1", "after", done=0),
    Row("before", BROKEN, ToolError, "error", done=0),
    Row("before", Skip(), None, done=0),
    Row("before", Cache("key"), 2, "later after"),
    Row("before", Cache("key"), "kept", "after", done=0, kept=("kept",)),
    Row("before", NOTE, 2, "later after", notes=["noted"]),
    Row("before", NOTE, ToolError, "later error", failures=1, notes=["noted"]),
    Row("after", None, 2, "later"),
    Row("after", Modify(9), 9, "later"),
    Row("after", Replace(9), 9, "later"),
    Row("after", Halt("no"), HookHalted),
    Row("after", Retry(0, 2), 2, "later", done=3),
    Row("after", OTHER, "other 1", "later"),
    Row("after", BROKEN, ToolError),
    Row("after", Skip(), None),
    Row("after", Cache("key"), 2, "later"),
    Row("after", NOTE, 2, "later", notes=["noted"]),
    Row("error", None, ToolError, "later", failures=9),
    Row("error", Modify(9), 9, "after", failures=9),
    Row("error", Replace(9), 9, "after", failures=9),
    Row("error", Halt("no"), HookHalted, failures=9),
    Row("error", Retry(0, 2), 2, "after", done=3, failures=2),
    Row("error", Retry(0, 2), ToolError, "later", done=3, failures=9),
    Row("error", OTHER, "other 1", "after", failures=9),
    Row("error", BROKEN, ToolError, "later", failures=9),
    Row("error", Skip(), None, failures=9),
    Row("error", Cache("key"), "kept", "after", failures=9, kept=("kept",)),
    Row("error", Cache("key"), ToolError, "later", failures=9),
    Row("error", NOTE, ToolError, "later", failures=9, notes=["noted"]),
]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("row", TABLE, ids=str)
async def test_the_truth_table(run, row, asynchronous):
    asked = []

    async def later_on(call):
        return row.said

    said = later_on if asynchronous else lambda call: row.said
    hook = run.hooks.register(f"{row.phase}:probe.work", said, priority=1)
    run.hooks.register(f"{row.phase}:probe.work", lambda call: asked.append("later"))
    for phase in {"after", "error"} - {row.phase}:
        run.hooks.register(f"{phase}:probe.work", lambda call: asked.append(call.phase))
    for kept in row.kept:
        hook.cache.put(("probe.work", "key"), kept, None)

    outcome = None
    try:
        outcome = await run.do("probe.work", n=1, failures=row.failures)
    except (HookHalted, ToolError) as error:
        outcome = type(error)
    assert outcome == row.outcome
    assert asked == row.asked.split()
    assert len(run.done) == row.done
    assert run.notes == row.notes
    assert hook.failures == 0
    assert run.hooks.guard == set()


def test_the_table_is_whole():
    kinds = {type(row.said) for row in TABLE}
    for phase in ("before", "after", "error"):
        assert {type(row.said) for row in TABLE if row.phase == phase} == kinds
    assert len(kinds) == 9


# Composition


async def test_each_hook_sees_what_the_ones_before_it_did(run):
    seen = []
    run.hooks.before("probe.work", priority=2)(lambda call: Modify({"n": 5}))
    run.hooks.before("probe.work", priority=1)(lambda call: Retry(0, 1))
    run.hooks.before("probe.work")(lambda call: seen.append(call.effect.bound))
    run.hooks.after("probe.work", priority=1)(lambda call: Modify(call.result + 1))
    run.hooks.after("probe.work")(lambda call: seen.append(call.result))
    assert await run.do("probe.work", n=1) == 11
    assert seen == [{"n": 5}, 11]


async def test_a_failed_redirection_shows_its_error_to_the_next_hook(run):
    seen = []
    run.hooks.on_error("probe.work", priority=1)(lambda call: BROKEN)

    @run.hooks.on_error("probe.work")
    def forgive(call):
        seen.append(call.error.message)
        return OTHER

    assert await run.do("probe.work", n=1, failures=9) == "other 1"
    assert seen == ["the other is broken, too"]


async def test_retries_of_several_hooks_are_used_up_in_turn(run):
    run.hooks.before("probe.work")(lambda call: Retry(0, 1))
    run.hooks.before("probe.work")(lambda call: Retry(0, 2))
    with pytest.raises(ToolError):
        await run.do("probe.work", n=1, failures=9)
    assert len(run.done) == 4


async def test_hooks_share_notes_until_the_effect_is_over(run):
    def count(call):
        call.notes["count"] = call.notes.get("count", 0) + 1

    run.hooks.before("probe.work", priority=1)(count)
    run.hooks.before("probe.work")(count)
    run.hooks.after("probe.work")(lambda call: Modify(call.notes["count"]))
    assert [await run.do("probe.work", n=1) for _ in range(2)] == [2, 2]


# Retry


async def test_a_retry_waits_and_counts_as_an_effect(run):
    run.hooks.on_error("probe.work")(lambda call: Retry(0.02, 3))
    begin = anyio.current_time()
    assert await run.do("probe.work", n=1, failures=3) == 2
    assert anyio.current_time() - begin > 0.06
    assert run.counted == 3


@pytest.mark.parametrize("phase", ["before", "after", "error"])
async def test_no_number_of_attempts_is_beyond_the_limit_of_effects(run, phase):
    run._services[Limits] = Limits(effects=20)
    run.hooks.register(f"{phase}:probe.work", lambda call: Retry(0, 10**9))
    with pytest.raises(LimitExceeded):
        await run.do("probe.work", n=1, failures=0 if phase == "after" else 10**9)
    assert len(run.done) == 21


async def test_hooks_before_are_not_asked_again_those_after_are(run):
    asked = []
    run.hooks.before("probe.work")(lambda call: asked.append("before"))
    run.hooks.after("probe.work", priority=1)(lambda call: asked.append("after"))
    run.hooks.after("probe.work")(lambda call: Retry(0, 1))
    await run.do("probe.work", n=1)
    assert asked == ["before", "after", "after"]


async def test_what_is_not_done_is_not_done_again(run):
    run.hooks.before("probe.work")(lambda call: Replace("instead"))
    run.hooks.after("probe.work")(lambda call: Retry(0, 5))
    assert await run.do("probe.work", n=1) == "instead"
    assert run.counted == 0


# Redirect


async def test_a_redirection_takes_the_whole_chain_but_not_the_hook_that_wants_it(run):
    seen = []

    @run.hooks.before("probe.*", priority=1)
    def away(call):
        seen.append(call.effect.name)
        return OTHER

    run.hooks.before("probe.other")(lambda call: Modify({"n": call.effect.args["n"] + 10}))
    assert await run.do("probe.work", n=1) == "other 11"
    assert seen == ["probe.work"]


async def test_two_hooks_that_redirect_to_each_other_come_to_an_end(run):
    run.hooks.before("probe.work")(lambda call: OTHER)
    run.hooks.before("probe.other")(lambda call: Redirect(effect="probe.work"))
    assert await run.do("probe.work", n=1) == 2
    assert await run.do("probe.other", n=1) == "other 1"


async def test_a_redirection_that_cannot_be_is_the_hooks_failure(run, caplog):
    hook = run.hooks.register("before:probe.work", lambda call: Redirect(model="a/b"))
    assert await run.do("probe.work", n=1) == 2
    assert hook.failures == 1
    assert "probe.work has no model" in caplog.text
    run.hooks.register("after:probe.work", lambda call: Redirect(model="a/b"), required=True)
    with pytest.raises(HookFailed, match="has no model"):
        await run.do("probe.work", n=1)


# Cache


async def test_a_result_is_kept_by_its_arguments_and_for_its_time(run):
    run.hooks.before("probe.work")(lambda call: Cache(ttl=0.05))
    assert [await run.do("probe.work", n=n) for n in (1, 2, 1)] == [2, 4, 2]
    assert run.done == [1, 2]
    await anyio.sleep(0.06)
    await run.do("probe.work", n=1)
    assert run.done == [1, 2, 1]


async def test_failures_are_not_kept(run):
    run.hooks.before("probe.work")(lambda call: Cache())
    with pytest.raises(ToolError):
        await run.do("probe.work", n=1, failures=1)
    assert await run.do("probe.work", n=1, failures=1) == 2


async def test_what_a_hook_after_keeps_is_found_before_and_on_error(run):
    run.hooks.after("probe.work")(lambda call: Cache("key"))
    assert await run.do("probe.work", n=1) == 2
    run.hooks.on_error("probe.work")(lambda call: Cache("key"))
    assert await run.do("probe.work", n=5, failures=9) == 2
    run.hooks.before("probe.work")(lambda call: Cache("key"))
    assert await run.do("probe.work", n=7) == 2
    assert run.done == [1, 5]


def test_what_is_kept_are_bounded_copies():
    cache = HookCache(size=3)
    value = {"list": [1]}
    cache.put(("e", "a"), value, None)
    value["list"].append(2)
    cache.get(("e", "a"))[0]["list"].append(3)
    assert cache.get(("e", "a")) == ({"list": [1]},)
    for key in "bcd":
        cache.put(("e", key), None, None)
        cache.get(("e", "a"))
    assert len(cache) == 3
    assert cache.get(("e", "b")) is None
    assert cache.get(("e", "d")) == (None,)
    cache.put(("e", "x"), object(), None)
    assert cache.get(("e", "x")) is None


async def test_a_run_does_not_find_what_another_keeps(new_run):
    host = Hooks()
    one, other = Hooks(host), Hooks(host)
    keep = [hooks.register("before:x", lambda call: None) for hooks in (one, other, host, host)]
    assert keep[0].cache is not keep[1].cache
    assert keep[2].cache is keep[3].cache
    assert keep[2].cache not in (keep[0].cache, keep[1].cache)


# Fork


async def test_forks_go_on_beside_the_effect_and_are_waited_for(run):
    order = []

    @run.probe.effect()
    async def slow(name: str) -> None:
        order.append(f"{name} begins")
        await anyio.sleep(0.02)
        order.append(f"{name} ends")

    run.hooks.before("probe.slow", priority=1)(
        lambda call: Fork(("probe.slow", {"name": "a"}), ("probe.slow", {"name": "b"}))
    )
    await run.do("probe.slow", name="own")
    assert sorted(order[:3]) == ["a begins", "b begins", "own begins"]
    assert len(order) == 6


@pytest.mark.parametrize("phase", ["before", "after", "error"])
async def test_a_fork_that_fails_fails_alone(run, caplog, phase):
    fork = Fork(("probe.broken", {}), ("no.such", {}), ("probe.note", {"text": "x"}))
    run.hooks.register(f"{phase}:probe.work", lambda call: fork, id="forks")
    run.hooks.on_error("probe.work", priority=-1)(lambda call: Replace(2))
    assert await run.do("probe.work", n=1, failures=int(phase == "error")) == 2
    assert run.notes == ["x"]
    assert "'forks': its fork probe.broken failed: the other is broken, too" in caplog.text
    assert "no.such" in caplog.text


async def test_a_halted_effect_has_no_forks(run):
    run.hooks.before("probe.work", priority=1)(lambda call: NOTE)
    run.hooks.before("probe.work")(lambda call: Halt("no"))
    with pytest.raises(HookHalted):
        await run.do("probe.work", n=1)
    assert run.notes == []


async def test_a_replaced_effect_has_its_forks(run):
    run.hooks.before("probe.work", priority=1)(lambda call: NOTE)
    run.hooks.before("probe.work")(lambda call: Skip())
    assert await run.do("probe.work", n=1) is None
    assert run.notes == ["noted"]


# Guards cannot be got round


@pytest.mark.parametrize("around", [Retry(0, 3), Replace("fine"), OTHER, Skip()])
async def test_nothing_forgives_a_failed_guard(run, around):
    def guard(call):
        raise ValueError("oops")

    run.hooks.register("before:probe.work", guard, required=True)
    run.hooks.before("probe.work", priority=1)(lambda call: Retry(0, 3))
    run.hooks.on_error("probe.work")(lambda call: around)
    with pytest.raises(HookFailed):
        await run.do("probe.work", n=1)
    assert run.done == []


async def test_nothing_forgives_arguments_that_a_hook_spoilt(run):
    run.hooks.before("probe.work")(lambda call: Modify({"n": "x"}))
    run.hooks.on_error("probe.work")(lambda call: Retry(0, 3))
    with pytest.raises(InvalidArguments):
        await run.do("probe.work", n=1)
    assert run.done == []


@pytest.mark.parametrize(
    ("halt", "reason"),
    [(Halt(), "no reason given"), (Halt(None), "no reason given"), (Halt(5), "5")],
)
async def test_a_halt_needs_no_reason(run, halt, reason):
    run.hooks.before("probe.work", id="guard")(lambda call: halt)
    with pytest.raises(HookHalted, match=f"stopped by hook 'guard': {reason}"):
        await run.do("probe.work", n=1)


@pytest.mark.parametrize("value", [None, 5, "x", ["x"]])
async def test_arguments_are_a_table(run, value):
    run.hooks.before("probe.work", id="odd")(lambda call: Modify(value))
    with pytest.raises(InvalidArguments, match="hook 'odd' changes the arguments"):
        await run.do("probe.work", n=1)
    assert run.done == []


# Results are checked where they are made


@pytest.mark.parametrize(
    "make",
    [
        lambda: Retry(-1),
        lambda: Retry(float("inf")),
        lambda: Retry("1"),
        lambda: Retry(0, 0),
        lambda: Retry(0, 1.5),
        lambda: Retry(0, True),
        Redirect,
        lambda: Redirect(tool="a", model="b"),
        lambda: Redirect(effect=5),
        lambda: Redirect(effect="a", args=[1]),
        lambda: Cache(5),
        lambda: Cache("key", -1),
        lambda: Fork((5, {})),
        lambda: Fork(("a", [1])),
    ],
)
async def test_nonsense_is_the_hooks_failure(run, make, caplog):
    with pytest.raises(ValueError, match=":"):
        make()
    hook = run.hooks.register("before:probe.work", lambda call: make())
    assert await run.do("probe.work", n=1) == 2
    assert hook.failures == 1
