from __future__ import annotations

from functools import partial

from anyio import sleep

from llmspell.bridge import Bridge
from llmspell.effects import Effect
from llmspell.journal.recording import Recording
from llmspell.journal.timeouts import moving_on
from llmspell.spending.accounts import Accounts, account_for
from llmspell.values import LuaFunction

bridge = Bridge("task", __file__)


@bridge.effect("sleep", repeatable=True)
async def wait(effect: Effect, seconds: float) -> None:
    """Sleep. The global `Task` itself is part of the kernel."""
    recording = effect.run[Recording]
    await (recording.sleep(effect.path, seconds) if recording else sleep(seconds))


@bridge.effect(leaf=False)
async def budget(effect: Effect, amounts: dict[str, str | float], run: LuaFunction) -> None:
    """Call a function whose effects are charged to a budget of its own."""
    account = account_for(effect, amounts, "the task", "Task.budget")
    clock = partial(moving_on, effect, "time")
    with effect.run[Accounts].at(effect.path, account), account.timed(clock):
        await effect.call(run)
