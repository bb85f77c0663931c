"""Leaves of a run that stops meanwhile."""

import asyncio

import pytest
from anyio import CancelScope

from llmspell.concurrency import settled
from llmspell.effects import Effect
from llmspell.journal.journal import Beginning, Journal
from llmspell.journal.leaves import Leaves
from llmspell.journal.secrets import Redaction

pytestmark = pytest.mark.anyio


@pytest.fixture
def recording(tmp_path):
    journal = Journal(tmp_path / "runs.db", redaction=Redaction())
    made = journal.begin(Beginning("a", "a.lua", None, b"", True, {}, [], {}))
    yield made
    journal.close()


async def test_what_a_run_that_stops_asks_for_ends_as_whoever_stops_it_says(recording):
    done = []
    recording.leaving = lambda: True
    with CancelScope() as scope:
        scope.cancel()
        await settled(Leaves(recording, done.append).perform(Effect("a.b", {}, "0/0", None)))
    assert scope.cancelled_caught
    assert not done
    assert not recording.open


async def test_it_ends_when_nobody_cancels_it(recording):
    recording.leaving = lambda: True
    answer = Leaves(recording, lambda _: 1).perform(Effect("a.b", {}, "0/0", None))
    with pytest.raises(asyncio.CancelledError):
        await answer
    answer.close()
