from __future__ import annotations

from llmspell.approvals import Approvals, approve, to_approve
from llmspell.concurrency import settled
from llmspell.effects import Effect, Handler, Perform, Run
from llmspell.values import Value


class Approval:
    """Asks a person to approve the effects that the run's approval rules select."""

    name = "approval"

    def wrap(self, handler: Handler, call: Perform, run: Run) -> Perform:
        approvals = run[Approvals]
        if not approvals.about(handler.name):
            return call

        async def approved(effect: Effect) -> Value:
            what = to_approve(effect, approvals)
            if what is not None:
                args = await approve(effect, what, effect.args, beside=True)
                if args != effect.args:
                    effect.args = args
                    effect.bound = handler.check(effect)
            return await settled(call(effect))

        return approved
