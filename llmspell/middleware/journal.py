from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from llmspell.concurrency import Answer, Followed
from llmspell.effects import Effect, Handler, Perform, Run
from llmspell.journal.leaves import Leaves
from llmspell.journal.payments import Payment
from llmspell.journal.recording import Recording
from llmspell.spending.accounts import Accounts
from llmspell.spending.prices import Prices
from llmspell.values import Value


class Journal:
    """Records the outcomes of a run's leaves, and answers leaves from the record."""

    name = "journal"

    def wrap(self, handler: Handler, call: Perform, run: Run) -> Perform:
        recording = run[Recording]
        if not recording:
            return call
        composites = recording.composites

        def noted(effect: Effect) -> Answer[Value]:
            return composites.perform(effect, call) if composites else call(effect)

        if handler.leaf is False:
            return noted if composites else call
        leaf: Perform = Leaves(
            recording,
            call,
            again=handler.may_repeat,
            so_far=handler.so_far,
            delivered=handler.delivered,
            restore=handler.restore,
        ).perform
        if handler.costs:
            leaf = _paid_for(recording, leaf)
        is_leaf, replayed = handler.is_leaf, handler.replayed
        if handler.leaf is True and not replayed:
            return leaf

        def recorded(effect: Effect) -> Answer[Value]:
            if not is_leaf(effect):
                return noted(effect)
            if replayed and (known := recording.recorded(effect.path)):
                replayed(effect, known)
            return leaf(effect)

        return recorded


def _paid_for(recording: Recording, leaf: Perform) -> Perform:
    """Wrap a leaf so that the accounts are charged again for what it cost before a resume.

    Only accounts inside the run's are charged, once they exist again.
    """

    def paid(effect: Effect) -> Answer[Value]:
        for lost in recording.take_lost(effect.path):
            _pay(effect, lost)
        if payment := recording.payment(effect.path):
            return _paid_before(effect, leaf, partial(_pay, effect, payment))
        return leaf(effect)

    return paid


def _pay(effect: Effect, payment: Payment) -> None:
    """Charge an earlier payment to the accounts, so that it counts for their budgets."""
    effect.run[Accounts].resume_at(effect.path, payment, effect.run[Prices])


def _paid_before(effect: Effect, leaf: Perform, pay: Callable[[], None]) -> Answer[Value]:
    """Return the recorded answer of a leaf; pay when it arrives, or when nobody waits for it."""
    try:
        answer = leaf(effect)
    except Exception:
        pay()
        raise
    if hasattr(answer, "__await__"):
        return Followed(answer, partial(_paying, pay), pay)
    pay()
    return answer


async def _paying(pay: Callable[[], None], answer: Awaitable[Value]) -> Value:
    try:
        return await answer
    finally:
        pay()
