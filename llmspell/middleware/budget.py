from __future__ import annotations

from llmspell.effects import Handler, Perform, Run
from llmspell.journal.recording import Recording
from llmspell.spending.accounts import Accounts
from llmspell.spending.prices import Prices


class Budgeting:
    """Reserves the tokens and dollars that a model request may use, and settles the actual usage.

    It adds the price to the `usage` of the answer.
    """

    name = "budget"

    def wrap(self, handler: Handler, call: Perform, run: Run) -> Perform:
        if handler.costs is None:
            return call
        from llmspell.middleware.paid_effect import PaidEffect

        return PaidEffect(handler.costs, call, run[Accounts], run[Prices], run[Recording]).perform
