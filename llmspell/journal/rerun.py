"""Resumes and replays recorded runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from llmspell.errors import ReplayError, RunBusy
from llmspell.journal.chain_changes import Chain, chain_changes
from llmspell.journal.history import History
from llmspell.journal.ledger import Ledger
from llmspell.journal.locks import RunLock
from llmspell.journal.payments import Payments
from llmspell.journal.reader import Reader
from llmspell.journal.recording import Judge, Recording, Unfinished
from llmspell.journal.records import Delivered, RecordedEffect, RecordedRun
from llmspell.journal.steps import stops_at
from llmspell.journal.stored_values import Row, stored, stored_bytes, text_of
from llmspell.values import plain

if TYPE_CHECKING:
    from llmspell.journal.journal import Beginning, Journal

_GOES_ON = """
    UPDATE runs SET status = 'running', reason = NULL, due = NULL, source = ?, setup = ?
    WHERE id = ?
"""
_FORGET = tuple(
    f"DELETE FROM {table} WHERE run = ? AND turn > ?"  # noqa: S608 - constants
    for table in ("turns", "calls", "delivered")
)
"""Forgets what the spell was told after a turn."""
# A process that prunes, and did not see the lock, has finished by the time this is written.
_AWAIT_PRUNING = "UPDATE runs SET id = id WHERE id = ?"


def find(journal: Journal, id_: str) -> RecordedRun:
    """Return the run with an id or a unique beginning of one. Raises RunNotFound, JournalError."""
    with Reader.open(journal.path) as reader:
        run = reader.run(id_)
        _ = run.source, run.result  # read while the file is open
        if run.setup["tools"]:
            _ = run.tools
        return run


def resume(
    journal: Journal,
    run: RecordedRun,
    beginning: Beginning,
    judge: Judge,
    *,
    approved: Sequence[str] = (),
) -> Recording:
    """Resume a run: recorded leaves are answered, then it continues.

    `beginning` is what it continues with: the spell may have been edited, limits raised. `judge`
    decides about leaves that had begun when the run stopped. `approved` are the paths of approvals
    from elsewhere that were given here as well.

    If the run failed, the leaves whose errors ended it are performed again.

    Raises:
        RunBusy: Another process is executing it.
        ReplayError: It has completed.
        JournalError: The file is damaged, or cannot be written.
    """
    lock = RunLock(journal.path, run.id)
    reader = Reader.open(journal.path)
    try:
        seen, run = run, reader.run(run.id)
        _check_untouched(seen, run)
        check_unended(run)
        effects = reader.effects(run, beside=True)
        kept = answered(run, effects)
        begun = {begun.path: begun for begun in reader.begun(run)}
        retried = effects[len(kept) :]
        delivered = reader.delivered(run)
        last_turn = _last_turn(kept, delivered)
        delivered = {p: settled for p, answer in delivered.items() if (settled := answer.settled())}
        paid = reader.payments(run)
        payments = Payments(journal.writer, run.number, paid[-1].number if paid else 0)
        moved = payments.of_forgotten(retried)
        going_on = _going_on(journal, run, beginning, approved, retried)
        if last_turn is not None:
            going_on += [(sql, (run.number, last_turn)) for sql in _FORGET]
        going_on += map(payments.begun, moved)
        paid += [*moved, *(effect.payment for effect in kept if effect.payment)]
        journal.writer.commit([(_AWAIT_PRUNING, (run.id,))])
        reader.run(run.id)
    except BaseException:
        reader.close()
        lock.release()
        raise
    last = effects[-1].number if effects else 0
    changes = chain_changes(run.setup.get("chain"), beginning.setup["chain"])
    history = History(run, kept, reader, changes=changes, last_turn=last_turn)
    return Recording(
        run.id,
        run.seed,
        text_of=journal.redaction.text_of,
        ledger=Ledger(
            journal.writer, lock, run.number, ended=last, held=going_on, payments=payments
        ),
        history=history,
        unfinished=Unfinished(begun, judge),
        before=paid,
        delivered=delivered,
    )


def replay(
    journal: Journal, run: RecordedRun, chain: Chain, *, until: str | None = None
) -> Recording:
    """Replay a run from its record alone, to its end or up to an effect.

    `chain` names the hooks and middleware through which it passes now.

    Raises:
        ReplayError: Nothing was recorded at `until`.
        JournalError: The file cannot be used.
    """
    reader = Reader.open(journal.path)
    try:
        stops: frozenset[str] = frozenset()
        if until is not None:
            leaves = [leaf.path for leaf in reader.effects(run)]
            leaves += [leaf.path for leaf in reader.begun(run)]
            stops = stops_at(leaves, until, run.id)
        changes = chain_changes(run.setup.get("chain"), chain)
        effects = reader.effects(run, beside=True)
        history = History(run, effects, reader, stops=stops, changes=changes)
        paid, delivered = reader.payments(run), reader.delivered(run)
    except BaseException:
        reader.close()
        raise
    return Recording(
        run.id,
        run.seed,
        text_of=journal.redaction.text_of,
        ledger=None,
        history=history,
        before=paid,
        delivered=delivered,
    )


def answered(run: RecordedRun, effects: Sequence[RecordedEffect]) -> Sequence[RecordedEffect]:
    """Return the leaves that are answered from the record on resume; the rest is retried."""
    failed = len(_failed_last(effects)) if run.status == "failed" else 0
    return effects[: len(effects) - failed]


def _last_turn(kept: Sequence[RecordedEffect], delivered: Mapping[str, Delivered]) -> int | None:
    """Return the last turn to repeat, or None for all.

    After that the spell was told parts of answers that it is not told again, since a request fails
    after the parts that are, or is repeated.
    """
    if any(answer.settled() for answer in delivered.values()):
        return max((effect.turn for effect in kept), default=0)
    turns = [turn for answer in delivered.values() for turn in answer.last_turns]
    return min(turns) - 1 if turns else None


def _going_on(
    journal: Journal,
    run: RecordedRun,
    beginning: Beginning,
    approved: Sequence[str],
    retried: Sequence[RecordedEffect],
) -> list[Row]:
    """Return the rows that mark a run as running, with its setup, and delete the leaves to retry."""
    rows: list[Row] = []
    text = stored_bytes(journal.redaction.data(beginning.source), rows)
    kept = {key: value for key, value in run.setup.items() if key != "ungranted"}
    if elsewhere := kept.get("elsewhere"):
        kept["elsewhere"] = elsewhere | {"approved": [*elsewhere["approved"], *approved]}
    setup = stored(text_of(plain(kept | beginning.setup)), rows)
    rows.append((_GOES_ON, (text, setup, run.id)))
    forget = "DELETE FROM effects WHERE run = ? AND number = ?"
    return rows + [(forget, (run.number, effect.number)) for effect in retried]


def _check_untouched(seen: RecordedRun, run: RecordedRun) -> None:
    """Raise RunBusy if a run has been resumed since it was read."""
    if run.ended != seen.ended:
        raise RunBusy(
            f"another process has just resumed the run {run.id}",
            hint=f"see its outcome with: llmspell show {run.id}",
        )


def check_unended(run: RecordedRun) -> None:
    """Raise ReplayError if a run has completed, so that it cannot be resumed."""
    if run.status == "completed":
        hint = f"replay it with: llmspell replay {run.id}"
        raise ReplayError(f"the run {run.id} has ended", hint=hint)


def _failed_last(effects: Sequence[RecordedEffect]) -> list[RecordedEffect]:
    """Return the failed leaves after the last one that succeeded, latest first.

    With them come the leaves that were cancelled since, as those beside a failed one are.
    """
    failed = list(takewhile(lambda effect: effect.kind != "ok", reversed(effects)))
    while failed and failed[-1].kind == "cancelled":
        failed.pop()
    return failed
