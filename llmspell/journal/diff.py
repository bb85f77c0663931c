"""Where two recorded runs part."""

from __future__ import annotations

from dataclasses import dataclass

from llmspell.journal.reader import Reader, RecordedEffect, RecordedRun
from llmspell.journal.spans import place_of
from llmspell.journal.stored_values import text_of
from llmspell.values import Value


@dataclass(frozen=True)
class Difference:
    """An effect that is not the same in both; None where one run has no such effect.

    `what` is "effect" when another one was asked for, "arguments", "outcome", or "only" when just
    one of the runs has it.
    """

    path: str
    what: str
    left: RecordedEffect | None
    right: RecordedEffect | None


def differences(
    reader: Reader, left: RecordedRun, right: RecordedRun
) -> tuple[int, list[Difference]]:
    """How many leaves are the same, and the others, in order of their paths."""
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
    """Whether Lua cannot tell them apart: nan is itself here, and 1 is neither 1.0 nor true."""
    return text_of(left, in_order=True) == text_of(right, in_order=True)
