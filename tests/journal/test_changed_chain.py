"""Hooks and middleware of the host that are not those of the record: the error names them."""

from __future__ import annotations

import pytest

from llmspell.errors import JournalExhausted, JournalMismatch, RunSuspended
from llmspell.hooks import Hook
from llmspell.journal.chain_changes import chain_changes
from llmspell.middleware import middleware

pytestmark = pytest.mark.anyio


class Careful(Hook):
    async def on_state_change(self, call, old, new): ...


class Farewell(Hook):
    async def on_run_end(self, call): ...


@middleware(effects="state.set")
async def doubled(effect, call_next):
    effect.args = {**effect.args, "value": effect.args["value"] * 2}
    return await call_next(effect)


HOOKED, WRAPPED = {"hooks": [Careful()]}, {"middleware": [doubled]}
SPELL = "State.set('a', 1) Task.sleep(0.5) State.set('b', 2)"


@pytest.mark.parametrize(
    ("then", "now", "change"),
    [
        ({}, HOOKED, "the hook Careful.on_state_change was added"),
        (HOOKED, {}, "the hook Careful.on_state_change was removed"),
        ({}, WRAPPED, "the middleware doubled was added"),
        (WRAPPED, {}, "the middleware doubled was removed"),
    ],
)
async def test_what_has_changed_is_told(new_runtime, then, now, change):
    ids: list[str] = []
    async with new_runtime(**then, park=0.1) as runtime:
        with pytest.raises(RunSuspended):
            await runtime.execute(SPELL, begun=ids.append)
    async with new_runtime(**now) as runtime:
        for again in (runtime.resume, runtime.replay):
            with pytest.raises(JournalMismatch) as caught:
                await again(ids[0])
            assert caught.value.message.startswith("the run ")
            assert caught.value.message.endswith(f"; since it was recorded, {change}")
            assert caught.value.hint.startswith("undo that; or continue from ")
    async with new_runtime(**then) as runtime:
        assert await runtime.resume(ids[0]) is None
        assert await runtime.replay(ids[0]) is None


async def test_what_comes_after_the_end(new_runtime):
    ids: list[str] = []
    async with new_runtime() as runtime:
        await runtime.execute("return 1", begun=ids.append)
    async with new_runtime(hooks=[Farewell()]) as runtime:
        with pytest.raises(
            JournalExhausted, match=r"(?m)the hook Farewell\.on_run_end was added$"
        ) as caught:
            await runtime.replay(ids[0])
    assert caught.value.hint == "undo that"


async def test_what_makes_no_difference_is_none(new_runtime):
    ids: list[str] = []
    async with new_runtime(**HOOKED) as runtime:
        await runtime.execute("return 1", begun=ids.append)
    async with new_runtime(**WRAPPED) as runtime:
        assert await runtime.replay(ids[0]) == 1


@pytest.mark.parametrize(
    ("then", "now", "changes"),
    [
        (None, {"hooks": ["a"]}, ""),
        ({"hooks": ["a", "a"]}, {"hooks": ["a"]}, ""),
        ({}, {"hooks": ["a", "b"]}, "the hooks a, b were added"),
        ({"hooks": ["a", "b"]}, {"hooks": ["b", "a"]}, "the order of the hooks was changed"),
        (
            {"hooks": ["a"], "middleware": ["x", "y"]},
            {"hooks": ["b"], "middleware": []},
            "the hook b was added and the hook a was removed and the middleware x, y were removed",
        ),
    ],
)
def test_in_words(then, now, changes):
    assert chain_changes(then, now) == changes
