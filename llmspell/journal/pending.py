"""Questions and approvals of suspended runs, and the answers that people give them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from shlex import quote

from llmspell.errors import JournalError, ReplayError, RunNotFound
from llmspell.human import Approval, Decision, Question
from llmspell.journal.journal import Journal
from llmspell.journal.locks import RunLock
from llmspell.journal.reader import Reader
from llmspell.journal.records import BegunEffect, RecordedRun
from llmspell.values import Value

_KINDS = ("human.ask", "human.approve")


@dataclass(frozen=True)
class Pending:
    """An effect of a run that waits for a person."""

    run: RecordedRun
    effect: BegunEffect

    @property
    def place(self) -> str:
        """Its run and its path, to be pasted into a shell: `!` stands for history there."""
        return f"{self.run.id} {quote(self.effect.path)}"

    @property
    def about(self) -> Question | Approval:
        """The question or the approval."""
        args, spell = self.effect.args, self.run.file
        if self.effect.name == "human.approve":
            wanted = args.get("args")
            with_ = wanted if isinstance(wanted, dict) else {}
            return Approval(spell, str(args.get("what")), with_)
        choices, default = args.get("choices"), args.get("default")
        choices = tuple(map(str, choices)) if isinstance(choices, list) else ()
        default = default if isinstance(default, str) else None
        return Question(spell, str(args.get("question")), choices, default)


def pending(reader: Reader, damaged: Callable[[JournalError], None]) -> list[Pending]:
    """Return the effects that wait for a person and have no answer yet, oldest first.

    `damaged` is called with the error of each run that cannot be read.
    """
    now = time.time()
    found: list[Pending] = []
    for run in reader.runs(damaged=damaged):
        if run.status in ("suspended", "killed"):
            try:
                found += [Pending(run, b) for b in reader.begun(run) if _waits(b)]
            except JournalError as error:
                damaged(error)
    open_ = [p for p in found if p.effect.due is None or p.effect.due > now]
    return sorted(open_, key=lambda p: p.effect.started)


def _waits(begun: BegunEffect) -> bool:
    return begun.name in _KINDS and begun.answer is None


def find(reader: Reader, run: str | None, path: str | None, kind: type) -> Pending:
    """Return the only pending effect of a kind, or the one selected by run and path.

    Raises:
        RunNotFound: There is none, or there are several.
    """
    id_ = None if run is None else reader.run(run).id
    found = [
        p
        for p in pending(reader, _ignore)
        if isinstance(p.about, kind) and id_ in (None, p.run.id) and path in (None, p.effect.path)
    ]
    if len(found) == 1:
        return found[0]
    what = "approval" if kind is Approval else "question"
    if not found:
        raise RunNotFound(f"no such {what} is pending", hint="list them with: llmspell pending")
    places = ", ".join(p.place for p in found)
    raise RunNotFound(f"several {what}s are pending", hint=f"name one of: {places}")


def _ignore(_: JournalError) -> None:
    """Ignore a damaged run: if it is the requested one, reading it by its id raises the error."""


def answer(journal: Journal, pending: Pending, text: str) -> None:
    """Store the answer to a question. Raises ValueError if it is not one of the choices."""
    about = pending.about
    if isinstance(about, Question) and about.choices and text not in about.choices:
        raise ValueError(f"{text!r} is not one of the choices: {', '.join(about.choices)}")
    _keep(journal, pending, text)


def decide(journal: Journal, pending: Pending, decision: Decision) -> None:
    """Store the decision about an approval."""
    _keep(journal, pending, decision.as_plain())


def _keep(journal: Journal, pending: Pending, said: Value) -> None:
    """Store what a person said.

    Raises:
        RunBusy: A process is executing the run.
        ReplayError: The run is no longer waiting for it.
        JournalError: The file is damaged, or cannot be written.
    """
    run, path = pending.run, pending.effect.path
    lock = RunLock(journal.path, run.id)
    try:
        with Reader.open(journal.path) as reader:
            waits = any(b.path == path and _waits(b) for b in reader.begun(run))
        if not waits:
            raise ReplayError(f"the run {run.id} is no longer waiting for that")
        sql = "UPDATE begun SET answer = ? WHERE run = ? AND path = ?"
        journal.writer.commit([(sql, (journal.redaction.text_of(said), run.number, path))])
    finally:
        lock.release()
