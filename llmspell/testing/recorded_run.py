"""Uses a recorded run as a fixture: models and tools answer as recorded."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from llmspell.concurrency import Answer
from llmspell.effects import Effect, Handler, Perform, Run
from llmspell.errors import JournalError, JournalMismatch
from llmspell.journal.history import RecordedLeaf
from llmspell.journal.labels import shown
from llmspell.journal.reader import Reader
from llmspell.journal.records import RecordedEffect
from llmspell.journal.stored_values import Arguments, text_of
from llmspell.values import Value

_ANSWERED = ("model.request", "tool.call")


class RecordedAnswers:
    """Innermost middleware that answers model requests and tool calls from a recording.

    Repeated identical calls get the recorded answers in turn. A call that was not recorded ends the
    run with an error that shows the most similar recorded call; nothing is performed live.
    """

    name = "as recorded"
    after = "deadline"

    def __init__(self, effects: Iterable[RecordedEffect]) -> None:
        """Prepare; the file with the effects has to be open."""
        answered = [effect for effect in effects if effect.name in _ANSWERED]
        self._left = [RecordedLeaf(effect) for effect in answered]
        for effect in answered:
            _ = effect.outcome  # load it, since the file may be closed later
        self._known = [(effect.name, shown(effect.name, effect.args)) for effect in answered]

    def wrap(self, handler: Handler, call: Perform, run: Run) -> Perform:  # noqa: ARG002
        if handler.name not in _ANSWERED:
            return call

        def answered(effect: Effect) -> Answer[Value]:
            return self._answer(effect) if handler.is_leaf(effect) else call(effect)

        return answered

    def _answer(self, effect: Effect) -> Value:
        digest = Arguments(effect.name, effect.args, text_of).digest
        for recorded in self._left:
            if recorded.effect.digest == digest:
                self._left.remove(recorded)
                return recorded.outcome()
        raise self._mismatch(effect)

    def _mismatch(self, effect: Effect) -> JournalMismatch:
        asked = shown(effect.name, effect.args)
        known = [call for name, call in self._known if name == effect.name]
        nearest = difflib.get_close_matches(asked, known, n=1, cutoff=0.0)
        problem = "more often than" if asked in known else "otherwise than"
        was = f"; the nearest it has is {nearest[0]}" if nearest else ", which has none of these"
        return JournalMismatch(
            f"the spell asks for {asked} {problem} in the record{was}",
            hint="record the run again if that is what the spell should do: llmspell export",
        )


def recorded(file: str | Path, run: str = "last") -> RecordedAnswers:
    """Load a run as a fixture from a file written by `llmspell export`.

        run_spell("joke.lua", middleware=[recorded("fixtures/joke.run")])

    Raises:
        JournalError: The file does not exist or is damaged.
        RunNotFound: It has no such run.
    """
    if not Path(file).is_file():
        hint = "export a run: llmspell export last FILE"
        raise JournalError(f"there is no recorded run {file}", hint=hint)
    with Reader.open(Path(file)) as reader:
        return RecordedAnswers(reader.effects(reader.run(run)))
