from __future__ import annotations

from llmspell.effects import Handler, Perform, Run
from llmspell.journal.recording import Recording
from llmspell.spending.accounts import Accounts
from llmspell.spending.prices import Prices


class Budgeting:
    """Has what is paid by tokens reserved before it is done, and settled when its usage is known.

    It puts the price of the answer into its `usage`.
    """

    name = "budget"

    def wrap(self, handler: Handler, call: Perform, run: Run) -> Perform:
        if handler.costs is None:
            return call
        from llmspell.middleware.paid_effect import PaidEffect

        return PaidEffect(handler.costs, call, run[Accounts], run[Prices], run[Recording]).perform
