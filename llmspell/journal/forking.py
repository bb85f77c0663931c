"""Forks a recorded run: copies its beginning, up to a chosen step, into a new run."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from llmspell import sqlite_file
from llmspell.journal.database import schema
from llmspell.journal.reader import Reader
from llmspell.journal.records import RecordedEffect, RecordedRun
from llmspell.journal.run_ids import new_id
from llmspell.journal.steps import step_of
from llmspell.journal.stored_values import Row, stored_bytes
from llmspell.spell import Spell
from llmspell.values import Value

if TYPE_CHECKING:
    from llmspell.journal.journal import Journal

_IN_TIME = "UPDATE effects SET turn = ? WHERE run = ? AND number = ?"


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


@dataclass(frozen=True)
class PlannedFork:
    """A fork that has not been created yet.

    Attributes:
        origin: The run to fork.
        step: The leaf before which they part.
        kept: What is kept of the origin's leaves.
        run: The origin, with what the fork changes.
        spell: The spell to continue with, if it is another one.
        called: The names of the tools that were called before the step.
    """

    origin: RecordedRun
    step: RecordedEffect
    kept: Kept
    run: RecordedRun
    spell: Spell | None
    called: set[str]


def plan_fork(
    journal: Journal,
    run: RecordedRun,
    at: str,
    *,
    params: Mapping[str, Value],
    models: Mapping[str, str],
    spell: Spell | None,
) -> PlannedFork:
    """Return a fork of a run, to be created from its record up to a step.

    Args:
        journal: The journal.
        run: The run.
        at: The path of the step.
        params: All parameters of the fork, by name.
        models: Replacement models, by the name of the model that they replace.
        spell: The spell to continue with, if it is another one.

    Raises:
        ReplayError: Nothing was recorded at that path.
        JournalError: The file is damaged.
    """
    with Reader.open(journal.path) as reader:
        effects = reader.effects(run, beside=True)
        step = step_of(effects, at, run.id)
        kept = _kept_before(effects, step)
        before = [e for e in effects if e.number <= kept.last or e.number in kept.later]
        calls = [effect.args for effect in before if effect.name == "tool.call"]
        for effect in before:
            _ = effect.args, effect.outcome  # raises if damaged
    called = {str(args.get("name")) for args in calls}
    changed: dict[str, Any] = {}
    setup = run.setup | {"models": run.setup.get("models", {}) | models}
    if elsewhere := setup.get("elsewhere"):
        last = min(elsewhere["last"], kept.last)
        setup["elsewhere"] = elsewhere | {"last": last}
    if spell is not None:
        path = spell.path and str(spell.path)
        own = run.trusted and spell.trusted
        changed = {"path": path, "file": spell.file, "trusted": own}
        if run.trusted and not own:
            setup["ungranted"] = True
    changed |= {"params": dict(params), "setup": setup, "status": "suspended"}
    return PlannedFork(run, step, kept, replace(run, **changed), spell, called)


def _kept_before(effects: list[RecordedEffect], step: RecordedEffect) -> Kept:
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


def fork(journal: Journal, plan: PlannedFork) -> str:
    """Create a suspended run that begins with what another one did before a step; return its id.

    Raises JournalError if the file is damaged, or cannot be written.
    """
    id_, now, run, origin = new_id(), time.time(), plan.run, plan.origin
    redaction, rows = journal.redaction, list[Row]()
    changed: dict[str, Any] = {
        "id": id_,
        "started": now,
        "ended": now,
        "status": "suspended",
        "reason": "fork",
        "due": None,
        "result": None,
        "error": None,
        "origin": origin.id,
        "origin_path": plan.step.path,
        "params": redaction.text_of(run.params),
        "setup": redaction.text_of(run.setup),
    }
    if plan.spell is not None:
        source = stored_bytes(redaction.data(plan.spell.source), rows)
        changed |= {"source": source, "path": run.path, "file": run.file, "trusted": run.trusted}
    db = journal.writer.db
    try:
        with sqlite_file.transaction(db, "IMMEDIATE"):
            for statement, values in rows:
                db.execute(statement, values)
            number = _copy_row(db, origin.number, changed)
            _copy_before(db, origin.number, number, plan)
    except sqlite3.Error as error:
        raise schema().failure(error, str(journal.path)) from error
    return id_


def _copy_before(db: sqlite3.Connection, run: int, number: int, plan: PlannedFork) -> None:
    """Copy the kept leaves of a run, and what belongs to them, to the run with that number.

    Since both runs have the same seed, Lua is told the same up to there. What had begun before the
    step but ended later is performed again, unless it is kept.
    """
    kept = plan.kept
    _copy(db, "effects", run, number, "number <= ?", kept.last)
    for later in kept.later:
        _copy(db, "effects", run, number, "number = ?", later)
        db.execute(_IN_TIME, (kept.turn, number, later))
    for table in ("turns", "calls"):
        _copy(db, table, run, number, "turn <= ?", kept.turn)
    _copy(db, "delivered", run, number, "asked < ?", kept.last)
    _copy(db, "composites", run, number, "started <= ?", plan.step.started)


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
