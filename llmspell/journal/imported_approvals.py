"""Approvals in the record of an imported run, which nobody has given here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llmspell.approvals import what_is
from llmspell.effect_paths import BESIDE, all_above, is_beside
from llmspell.human import Approval
from llmspell.journal.reader import Reader
from llmspell.journal.records import RecordedEffect, RecordedRun
from llmspell.journal.rerun import answered
from llmspell.values import Value


def approved_elsewhere(journal: Path, run: RecordedRun, before: float) -> dict[str, Approval]:
    """Return the approvals, by path, that were given elsewhere and not acted on there.

    Only the leaves before the number `before` count, for a fork that has no others.

    An approval of a composite effect is included even if it was acted on, because it is not known
    whether all of the composite was done. Raises JournalError.
    """
    elsewhere = run.setup.get("elsewhere")
    if not elsewhere:
        return {}
    with Reader.open(journal) as reader:
        effects = answered(run, reader.effects(run, beside=True))
        effects = [effect for effect in effects if effect.number < before]
        return {
            effect.path: Approval(run.file, str(effect.args.get("what")), _args(effect))
            for effect in _not_done(effects)
            if effect.number <= elsewhere["last"] and effect.path not in elsewhere["approved"]
        }


def _not_done(effects: Sequence[RecordedEffect]) -> list[RecordedEffect]:
    """Return the approvals that were not followed by their leaf; each approves a single one."""
    open_: list[RecordedEffect] = []
    for effect in effects:
        if effect.name == "human.approve":
            if _is_given(effect):
                open_.append(effect)
        elif approval := next((a for a in open_ if _is_for(a, effect)), None):
            open_.remove(approval)
    return open_


def _is_given(approval: RecordedEffect) -> bool:
    decided = approval.outcome
    return isinstance(decided, dict) and decided.get("approved") is True


def _is_for(approval: RecordedEffect, leaf: RecordedEffect) -> bool:
    if is_beside(approval.path):
        return leaf.path == approval.path.rpartition(BESIDE)[0]
    around = next(all_above(approval.path), "")
    return next(all_above(leaf.path), "") == around and what_is(leaf) == approval.args.get("what")


def _args(approval: RecordedEffect) -> dict[str, Value]:
    """Return the approved arguments, as the person may have changed them."""
    asked, decided = approval.args.get("args"), approval.outcome
    args = decided.get("args", asked) if isinstance(decided, dict) else asked
    return args if isinstance(args, dict) else {}
