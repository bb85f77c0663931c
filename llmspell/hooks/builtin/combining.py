"""Several hooks as one: `hooks.before("tool.call", required=True)(voting(a, b, c))`.

A hook that fails fails them all, and what they are is told by the one registration.
"""

from __future__ import annotations

from llmspell.concurrency import gather, settled
from llmspell.hooks.registered_hook import HookCall, HookFunction
from llmspell.hooks.results import Halt, HookResult


def sequential(*hooks: HookFunction) -> HookFunction:
    """Ask them one after the other, until one does not say to go on; its answer is theirs."""

    async def one_after_the_other(call: HookCall) -> HookResult:
        for hook in hooks:
            if (said := await settled(hook(call))) is not None:
                return said
        return None

    return one_after_the_other


def parallel(*hooks: HookFunction) -> HookFunction:
    """Ask all at the same time. The first that halts decides, in their order; or else the first
    that does not say to go on.
    """

    async def all_at_once(call: HookCall) -> HookResult:
        said = await _asked(hooks, call)
        halts = (one for one in said if isinstance(one, Halt))
        others = (one for one in said if one is not None)
        return next(halts, None) or next(others, None)

    return all_at_once


def voting(*hooks: HookFunction, needed: int | None = None) -> HookFunction:
    """Ask all at the same time, and do what `needed` of them say alike: by default more than half.

    Halts are alike whatever their reasons, which are joined. Where no answer has so many votes, it
    goes on; where two have, halting wins, and then the one that was given first.

    Raises:
        ValueError: So many votes there cannot be.
    """
    enough = len(hooks) // 2 + 1 if needed is None else needed
    if not 1 <= enough <= len(hooks):
        raise ValueError(f"{enough} votes cannot come of {len(hooks)} hooks")

    async def elected(call: HookCall) -> HookResult:
        said = await _asked(hooks, call)
        reasons = [one.reason for one in said if isinstance(one, Halt)]
        if len(reasons) >= enough:
            return Halt("; ".join(dict.fromkeys(reasons)))
        return next((one for one in said if one and said.count(one) >= enough), None)

    return elected


async def _asked(hooks: tuple[HookFunction, ...], call: HookCall) -> list[HookResult]:
    async def ask(hook: HookFunction) -> HookResult:
        return await settled(hook(call))

    return await gather([ask(hook) for hook in hooks])
