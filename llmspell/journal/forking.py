"""Copies the beginning of a recorded run, up to a chosen step, into a new run."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmspell import sqlite_file
from llmspell.effect_paths import all_around, is_within
from llmspell.errors import ReplayError
from llmspell.journal.database import schema
from llmspell.journal.records import RecordedEffect, RecordedRun
from llmspell.journal.stored_values import Row
from llmspell.suggestions import did_you_mean

_IN_TIME = "UPDATE effects SET turn = ? WHERE run = ? AND number = ?"


@dataclass(frozen=True)
class ForkColumns:
    """The columns in which a fork differs from its origin.

    Attributes:
        spell: Columns of `runs` that identify the spell; empty to keep the origin's.
        params: The parameters, as stored text.
        setup: The setup, as stored text.
        rows: Rows to be written along with it.
    """

    params: str
    setup: str
    spell: dict[str, Any] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()


def step_of(effects: list[RecordedEffect], at: str, run: str) -> RecordedEffect:
    """Return the leaf to fork at: the one at a path, or the first on behalf of what is there.

    Raises:
        ReplayError: No leaf was recorded there.
    """
    for effect in effects:  # in the order in which they ended
        if effect.path == at or is_within(effect.path, at):
            return effect
    raise _nothing_at(at, [effect.path for effect in effects], run)


@dataclass(frozen=True)
class Kept:
    """What a fork keeps of the leaves of a run.

    Attributes:
        last: The number of the last leaf before the step.
        turn: The number of turns Lua had had when it ended.
        later: The numbers of leaves that ended later but are kept as well.
    """

    last: int
    turn: int
    later: tuple[int, ...]


def kept_before(effects: list[RecordedEffect], step: RecordedEffect) -> Kept:
    """Return what a fork at a step keeps: the leaves that had ended before it.

    What a spell does while an answer arrives may be because of its first parts. So an answer that
    was arriving is kept whole. If it is the step itself, what was done meanwhile is not kept.
    """
    last = step.asked if _came_in_parts(step) else step.number - 1
    turn = max((effect.turn for effect in effects if effect.number <= last), default=0)
    later = [e for e in effects if e.number > last > e.asked and e.path != step.path]
    return Kept(last, turn, tuple(e.number for e in later if _came_in_parts(e)))


def _came_in_parts(effect: RecordedEffect) -> bool:
    if effect.name != "model.request" or not isinstance(effect.outcome, dict):
        return False
    details = effect.outcome.get("details")
    return "pieces" in effect.outcome or (isinstance(details, dict) and "pieces" in details)


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


def copy_before(
    db: sqlite3.Connection,
    path: Path,
    run: RecordedRun,
    step: RecordedEffect,
    kept: Kept,
    id_: str,
    change: ForkColumns,
) -> None:
    """Write a new run with the kept leaves before a step. Raises JournalError.

    Since both runs have the same seed, Lua is told the same up to there. What had begun before the
    step but ended later is performed again, unless it is kept.
    """
    row: dict[str, Any] = {
        "id": id_,
        "started": time.time(),
        "ended": time.time(),
        "status": "suspended",
        "reason": "fork",
        "due": None,
        "result": None,
        "error": None,
        "origin": run.id,
        "origin_path": step.path,
        "params": change.params,
        "setup": change.setup,
        **change.spell,
    }
    try:
        with sqlite_file.transaction(db, "IMMEDIATE"):
            for statement, values in change.rows:
                db.execute(statement, values)
            number = _copy_row(db, run.number, row)
            _copy(db, "effects", run.number, number, "number <= ?", kept.last)
            for later in kept.later:
                _copy(db, "effects", run.number, number, "number = ?", later)
                db.execute(_IN_TIME, (kept.turn, number, later))
            for table in ("turns", "calls"):
                _copy(db, table, run.number, number, "turn <= ?", kept.turn)
            _copy(db, "delivered", run.number, number, "asked < ?", kept.last)
            _copy(db, "composites", run.number, number, "started <= ?", step.started)
    except sqlite3.Error as error:
        raise schema().failure(error, str(path)) from error


def _columns(db: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in db.execute(f"PRAGMA table_info({table})")]


def _copy_row(db: sqlite3.Connection, run: int, changed: dict[str, Any]) -> int:
    columns = [name for name in _columns(db, "runs") if name != "number"]
    taken = ", ".join(f":{name}" if name in changed else name for name in columns)
    sql = f"INSERT INTO runs ({', '.join(columns)}) SELECT {taken} FROM runs WHERE number = :from_"  # noqa: S608 - constants
    return db.execute(sql, changed | {"from_": run}).lastrowid or 0


def _copy(
    db: sqlite3.Connection, table: str, run: int, number: int, condition: str, bound: float
) -> None:
    rest = ", ".join(name for name in _columns(db, table) if name != "run")
    sql = f"INSERT INTO {table} (run, {rest}) SELECT ?, {rest} FROM {table} WHERE run = ? AND {condition}"  # noqa: S608 - constants
    db.execute(sql, (number, run, bound))
