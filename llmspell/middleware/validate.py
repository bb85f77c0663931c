from __future__ import annotations

from llmspell.concurrency import Answer
from llmspell.effects import Effect, Handler, Perform, Run
from llmspell.values import Value


class Validate:
    """Checks and converts the arguments, according to the handler's signature."""

    name = "validate"

    def wrap(self, handler: Handler, call: Perform, run: Run) -> Perform:  # noqa: ARG002
        check, needed = handler.check, handler.needs_check

        def validated(effect: Effect) -> Answer[Value]:
            effect.bound = check(effect) if effect.args or needed else {}
            return call(effect)

        return validated
