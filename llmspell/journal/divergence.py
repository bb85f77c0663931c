"""The errors of a run that cannot follow its record."""

from __future__ import annotations

from typing import NamedTuple

from llmspell.errors import JournalExhausted, JournalMismatch
from llmspell.journal.labels import shown
from llmspell.journal.records import BegunEffect, RecordedEffect
from llmspell.values import Value


class Divergence(NamedTuple):
    """Describes where a run and its record part.

    Attributes:
        run: The id of the run.
        changes: How the host's hooks and middleware have changed since, if they have: then it may
            not be the spell that asks for something else.
    """

    run: str
    changes: str

    def mismatch(
        self, recorded: RecordedEffect, name: str, args: dict[str, Value]
    ) -> JournalMismatch:
        """Return the error for a leaf in whose place another one was recorded."""
        was, now = shown(recorded.name, recorded.args), shown(name, args)
        error = JournalMismatch(
            self._who(f"asks for {now}, but its record has {was}"),
            hint=self._hint(f"from here with that effect: {self._fork} --at {recorded.path}"),
            details={"recorded": was, "asked": now, "path": recorded.path},
        )
        error.effect, error.path = name, recorded.path
        return error

    def begun_otherwise(
        self, begun: BegunEffect, name: str, args: dict[str, Value]
    ) -> JournalMismatch:
        """Return the error for a leaf in whose place another one had begun."""
        was, now = shown(begun.name, begun.args), shown(name, args)
        return JournalMismatch(self._who(f"asks for {now}, but its record has begun {was}"))

    def unasked(self, missing: RecordedEffect) -> JournalMismatch:
        """Return the error for a recorded leaf that is not requested again."""
        what = shown(missing.name, missing.args)
        error = JournalMismatch(
            self._who(f"does not ask for {what}, which its record has at {missing.path}"),
            hint=self._hint(f"from there without it: {self._fork} --at {missing.path}"),
            details={"recorded": what, "path": missing.path},
        )
        error.effect, error.path = missing.name, missing.path
        return error

    def other_order(self) -> JournalMismatch:
        """Return the error for tasks that continue in another order."""
        return JournalMismatch(
            self._who("continues with its tasks in a different order than recorded"),
            hint=self._hint(f"from some step: {self._fork} --at PATH"),
        )

    def exhausted(self, path: str, name: str) -> JournalExhausted:
        """Return the error for a replay that requests a leaf after all that was recorded."""
        message = f"the record of the run {self.run} ends before {name} at {path}"
        hint = f"continue from there with: llmspell resume {self.run}"
        if self.changes:
            message, hint = f"{message}; {self._since}", "undo that"
        error = JournalExhausted(message, hint=hint, details={"path": path})
        error.effect, error.path = name, path
        return error

    @property
    def _since(self) -> str:
        return f"since it was recorded, {self.changes}"

    @property
    def _fork(self) -> str:
        return f"llmspell fork {self.run}"

    def _who(self, what: str) -> str:
        return f"the run {what}; {self._since}" if self.changes else f"the spell {what}"

    def _hint(self, fork: str) -> str:
        return f"undo that; or continue {fork}" if self.changes else f"to continue {fork}"
