"""Finds the leaves of a recorded run that a path means."""

from __future__ import annotations

from llmspell.effect_paths import all_around, is_within
from llmspell.errors import ReplayError
from llmspell.journal.records import RecordedEffect
from llmspell.suggestions import did_you_mean


def step_of(effects: list[RecordedEffect], at: str, run: str) -> RecordedEffect:
    """Return the leaf to fork at: the one at a path, or the first on behalf of what is there.

    Raises:
        ReplayError: No leaf was recorded there.
    """
    for effect in effects:  # in the order in which they ended
        if effect.path == at or is_within(effect.path, at):
            return effect
    raise _nothing_at(at, [effect.path for effect in effects], run)


def stops_at(leaves: list[str], at: str, run: str) -> frozenset[str]:
    """Return the paths of the leaves before which to stop: the one at a path, or those within it.

    Args:
        leaves: The paths of the leaves of a run, also of those that only began.
        at: The path of a leaf, a composite or a task.
        run: The run's id, for errors.

    Raises:
        ReplayError: No leaf was recorded there.
    """
    found = frozenset(path for path in leaves if path == at) or frozenset(
        path for path in leaves if is_within(path, at)
    )
    if not found:
        raise _nothing_at(at, leaves, run)
    return found


def _nothing_at(at: str, leaves: list[str], run: str) -> ReplayError:
    paths = {path for leaf in leaves for path in (leaf, *all_around(leaf))}
    hint = did_you_mean(at, paths, most=3, otherwise=f"see: llmspell show {run}")
    return ReplayError(f"the run {run} recorded nothing at {at}", hint=hint)
