from __future__ import annotations

from llmspell.concurrency import Answer
from llmspell.effects import Effect, Handler, Perform, Run
from llmspell.permissions import Grants
from llmspell.values import Value


class Permission:
    """Judges what an effect needs by the run's grants."""

    name = "permissions"

    def wrap(self, handler: Handler, call: Perform, run: Run) -> Perform:
        needs = handler.needs
        if needs is None:
            return call
        grants = run[Grants]

        def permitted(effect: Effect) -> Answer[Value]:
            for by, need in needs(effect):
                grants.check(need, by=by)
            return call(effect)

        return permitted
