from __future__ import annotations

from llmspell.concurrency import Answer, settled
from llmspell.effects import Effect, Handler, Perform, Run
from llmspell.journal.leaves import Leaves
from llmspell.journal.recording import Recording
from llmspell.spending.accounts import Accounts
from llmspell.values import Value


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
        is_leaf, replayed = handler.is_leaf, handler.replayed
        costs = None if recording.is_replay else handler.costs
        if handler.leaf is True and not replayed and not costs:
            return leaf

        def recorded(effect: Effect) -> Answer[Value]:
            if not is_leaf(effect):
                return noted(effect)
            if replayed and (known := recording.recorded(effect.path)):
                replayed(effect, known)
            if costs and recording.has_recorded(effect.path) and costs(effect).models:
                return _paid_before(effect, leaf(effect))
            return leaf(effect)

        return recorded


async def _paid_before(effect: Effect, answer: Answer[Value]) -> Value:
    """What was paid for before the run stopped counts for its budget."""
    from llmspell.providers.plain import usage_from_plain

    result = await settled(answer)
    model = str(result.get("model") or effect.args.get("model"))
    effect.run[Accounts].resume(effect.path, model, usage_from_plain(result["usage"]))
    return result
