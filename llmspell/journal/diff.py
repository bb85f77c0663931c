"""Compares two recorded runs, effect by effect."""

from __future__ import annotations

from dataclasses import dataclass

from llmspell.journal.reader import Reader
from llmspell.journal.records import RecordedEffect, RecordedRun
from llmspell.journal.spans import place_of
from llmspell.journal.stored_values import text_of
from llmspell.values import Value


@dataclass(frozen=True)
class Difference:
    """An effect that differs between two runs; None stands for the run that does not have it.

    `what` is "effect" if the names differ, "arguments", "outcome", or "only" if one run has it.
    """

    path: str
    what: str
    left: RecordedEffect | None
    right: RecordedEffect | None


def differences(
    reader: Reader, left: RecordedRun, right: RecordedRun
) -> tuple[int, list[Difference]]:
    """Return the number of identical leaves, and the differing ones in order of their paths."""
    ours = {effect.path: effect for effect in reader.effects(left)}
    theirs = {effect.path: effect for effect in reader.effects(right)}
    same, found = 0, []
    for path in sorted({*ours, *theirs}, key=place_of):
        mine, other = ours.get(path), theirs.get(path)
        what = _difference(mine, other)
        if what is None:
            same += 1
        else:
            found.append(Difference(path, what, mine, other))
    return same, found


def _difference(left: RecordedEffect | None, right: RecordedEffect | None) -> str | None:
    if left is None or right is None:
        return "only"
    if left.name != right.name:
        return "effect"
    if not _same(left.args, right.args):
        return "arguments"
    if left.kind != right.kind or not _same(left.outcome, right.outcome):
        return "outcome"
    return None


def _same(left: Value, right: Value) -> bool:
    """Return whether Lua cannot tell the values apart.

    Here nan equals itself, and 1 is neither 1.0 nor true.
    """
    return text_of(left, in_order=True) == text_of(right, in_order=True)
