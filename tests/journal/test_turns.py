"""Which of the things that Lua is told have a row: those in place of which it could have been told others."""

from types import SimpleNamespace

import pytest

from llmspell.journal.recording import Recording
from llmspell.journal.turns import Turns
from llmspell.lua import messages


@pytest.fixture
def told():
    """Tells a run's Lua state messages at one turn; the rows of that."""

    def tell(*inbox, more, alone):
        rows = []
        ledger = SimpleNamespace(
            known=(),
            ended=0,
            composites=lambda _: None,
            turned=lambda turn, under, batch, calls: rows.append(batch),
        )
        recording = Recording("r", 1, text_of=str, ledger=ledger)
        turns = Turns(recording, "", lambda _: None, lambda: None, lambda _: 1, lambda: None)
        batch = turns.take(list(inbox), more=more, alone=alone)
        assert batch == (list(inbox) if inbox or more else None)
        return rows

    return tell


REPLY = messages.reply(7, "tea")


@pytest.mark.parametrize(
    ("inbox", "more", "alone", "rows"),
    [
        ([REPLY], False, True, []),
        ([], True, True, []),
        ([REPLY], True, True, ["7"]),  # Lua could have gone on before it came
        ([], True, False, [""]),
        ([REPLY], False, False, ["7"]),
        ([], False, True, []),
    ],
)
def test_what_was_not_predetermined_has_a_row(told, inbox, more, alone, rows):
    assert told(*inbox, more=more, alone=alone) == rows
