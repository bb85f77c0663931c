from __future__ import annotations

from llmspell.effects import Handler, Perform, Run
from llmspell.hooks import Hooks


class Hooking:
    """Dispatches the hooks of an effect."""

    name = "hooks"

    def wrap(self, handler: Handler, call: Perform, run: Run) -> Perform:
        hooks = run[Hooks]
        found = hooks.matching(handler.name)
        found.pop("at", None)  # those are told of what is no effect
        if not found:
            return call
        from llmspell.hooks.dispatch import Dispatch

        return Dispatch(handler, call, found, hooks.at_work).perform
