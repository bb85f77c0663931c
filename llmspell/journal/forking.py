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
    id_: str,
    change: ForkColumns,
) -> None:
    """Write a new run with everything that had ended before a step. Raises JournalError.

    Since both runs have the same seed, Lua is told the same up to there. What had begun before the
    step but ended later is performed again.
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
            _copy(db, "effects", run.number, number, "number < ?", step.number)
            for table in ("turns", "calls"):
                _copy(db, table, run.number, number, "turn <= ?", step.turn)
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
