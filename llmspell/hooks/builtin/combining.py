"""Combines several hooks into one: `hooks.before("tool.call", required=True)(voting(a, b, c))`.

If one of them fails, the combined hook fails. Its registration sets the options of all.
"""

from __future__ import annotations

from llmspell.concurrency import gather, settled
from llmspell.hooks.hook_call import HookCall, HookFunction
from llmspell.hooks.results import Halt, HookResult


def sequential(*hooks: HookFunction) -> HookFunction:
    """Return a hook that calls hooks in turn until one has a result other than None."""

    async def one_after_the_other(call: HookCall) -> HookResult:
        for hook in hooks:
            if (result := await settled(hook(call))) is not None:
                return result
        return None

    return one_after_the_other


def parallel(*hooks: HookFunction) -> HookFunction:
    """Return a hook that calls hooks concurrently.

    The first `Halt` in their order decides; without one, the first result other than None.
    """

    async def all_at_once(call: HookCall) -> HookResult:
        results = await _results_of(hooks, call)
        halts = (one for one in results if isinstance(one, Halt))
        others = (one for one in results if one is not None)
        return next(halts, None) or next(others, None)

    return all_at_once


def voting(*hooks: HookFunction, needed: int | None = None) -> HookFunction:
    """Return a hook that calls hooks concurrently and takes a vote.

    The result is the one that at least `needed` of them agree on, by default more than half. Halts
    agree whatever their reasons, which are joined. Without enough votes, the result is None. Among
    several results with enough votes, halting wins, then the first.

    Raises:
        ValueError: `needed` is below 1 or above the number of hooks.
    """
    enough = len(hooks) // 2 + 1 if needed is None else needed
    if not 1 <= enough <= len(hooks):
        raise ValueError(f"{enough} votes cannot come from {len(hooks)} hooks")

    async def elected(call: HookCall) -> HookResult:
        results = await _results_of(hooks, call)
        reasons = [one.reason for one in results if isinstance(one, Halt)]
        if len(reasons) >= enough:
            return Halt("; ".join(dict.fromkeys(reasons)))
        return next((one for one in results if one and results.count(one) >= enough), None)

    return elected


async def _results_of(hooks: tuple[HookFunction, ...], call: HookCall) -> list[HookResult]:
    async def ask(hook: HookFunction) -> HookResult:
        return await settled(hook(call))

    return await gather([ask(hook) for hook in hooks])
