from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from llmspell.concurrency import Answer
from llmspell.effects import Effect, Handler, Perform, Run
from llmspell.journal.leaves import Leaves
from llmspell.journal.recording import Recording
from llmspell.spending.accounts import Accounts
from llmspell.values import Value

if TYPE_CHECKING:
    from llmspell.spending.estimate import Estimate


class Journal:
    """Records what comes of the leaves of a run, and answers those that were recorded before."""

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
        leaf = Leaves(recording, call, again=handler.may_repeat, so_far=handler.so_far).perform
        is_leaf, replayed, costs = handler.is_leaf, handler.replayed, handler.costs
        if handler.leaf is True and not replayed and not costs:
            return leaf

        def recorded(effect: Effect) -> Answer[Value]:
            if not is_leaf(effect):
                return noted(effect)
            if replayed and (known := recording.recorded(effect.path)):
                replayed(effect, known)
            if costs and (usage := recording.usage(effect.path)):
                return _paid_before(effect, leaf, partial(_pay, effect, costs, usage))
            return leaf(effect)

        return recorded


def _pay(effect: Effect, costs: Callable[[Effect], Estimate], usage: dict[str, Value]) -> None:
    """What was paid for before counts for the budgets, and is in what they say."""
    from llmspell.providers.plain import usage_from_plain

    if models := costs(effect).models:
        effect.run[Accounts].resume(effect.path, models[0], usage_from_plain(usage))


def _paid_before(effect: Effect, leaf: Perform, pay: Callable[[], None]) -> Answer[Value]:
    """The answer of a leaf from the record, which is paid for when it comes, or is not waited for."""
    try:
        answer = leaf(effect)
    except Exception:
        pay()
        raise
    if hasattr(answer, "__await__"):
        return _Paid(answer, pay)
    pay()
    return answer


class _Paid:
    """An answer that is paid for once it is there. Who does not await it closes it."""

    __slots__ = ("_answer", "_begun", "_pay")

    def __init__(self, answer: Any, pay: Callable[[], None]) -> None:
        self._answer, self._pay, self._begun = answer, pay, False

    def __await__(self) -> Generator[Any, Any, Value]:
        self._begun = True
        try:
            return (yield from self._answer.__await__())
        finally:
            self._pay()

    def close(self) -> None:
        if not self._begun:
            self._begun = True
            self._answer.close()
            self._pay()
