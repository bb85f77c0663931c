"""Runs that are killed after each leaf, by the kit that authors have for that."""

import pytest

from llmspell.concurrency import settled
from llmspell.config import Project
from llmspell.providers.messages import ToolCall
from llmspell.spell import parse_spell
from llmspell.testing import crash_matrix

SPELL = """
local answer = Agent.create{tools = {"hash"}}:prompt("Hi.")
local numbers = Task.map({1, 2, 3}, function(n) return State.increment("n", n) end)
return {answer, State.get("n"), #numbers}
"""


def spell(source):
    return parse_spell(source.encode(), name="spell", file="spell.lua")


def test_a_spell_that_survives_every_kill(tmp_path):
    script = [ToolCall("c", "hash", {"data": "x"}), "Bye."]
    kills = crash_matrix(spell(SPELL), script=script, state={"n": 1}, project=Project(tmp_path))
    assert kills >= 7
    assert not (tmp_path / ".llmspell").exists()


def test_a_result_may_be_anything_that_a_spell_can_return(tmp_path):
    source = "os.time() return {1, nil, 3, [9] = '\\255'}"
    assert crash_matrix(spell(source), project=Project(tmp_path)) == 1


def test_a_spell_that_knows_how_often_it_was_begun_does_not(tmp_path):
    count = tmp_path / "count"

    def begin(_):
        count.write_text(count.read_text() + "x" if count.exists() else "x")
        return len(count.read_text())

    with pytest.raises(AssertionError, match="killed after leaf 1, the run ended with"):
        crash_matrix(
            spell("local n = begin{} now{} return n"),
            tools={"begin": begin},
            project=Project(tmp_path),
        )


class Otherwise:
    """Gives a spell another result each time, outside of what is recorded."""

    name = "otherwise"
    before = "journal"

    def __init__(self, count):
        self._count = count

    def wrap(self, handler, call, run):
        if handler.name != "tool.call":
            return call

        async def otherwise(effect):
            await settled(call(effect))
            with self._count.open("a") as count:
                count.write("x")
                return count.tell()

        return otherwise


def test_lines_that_are_not_those_of_before_are_told(tmp_path):
    with pytest.raises(AssertionError, match="after leaf 2, the run printed '5', not '4'"):
        crash_matrix(
            spell("print(hash{data = 'x'}) State.get('n')"),
            middleware=[Otherwise(tmp_path / "count")],
            project=Project(tmp_path),
        )


def test_a_spell_that_fails_is_told(tmp_path):
    with pytest.raises(AssertionError, match="no tea"):
        crash_matrix(spell("error('no tea')"), project=Project(tmp_path))
