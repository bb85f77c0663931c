"""Every shipped spell: its tests in Lua, and what they cannot say."""

import re
from pathlib import Path

import pytest

from llmspell import Runtime
from llmspell.config import Project
from llmspell.providers.messages import ToolCall
from llmspell.spell_lookup import read_spell, shipped_spells
from llmspell.testing import crash_matrix
from llmspell.testing.lua_files import find_tests, run_tests

pytestmark = pytest.mark.anyio

SPELLS = {path.stem: path for path in shipped_spells()}
TESTS = find_tests([Path(__file__).with_name("spells")])


def test_there_are_enough_and_each_has_tests():
    assert len(SPELLS) >= 8
    assert set(SPELLS) <= {path.name.removesuffix("_test.lua") for path in TESTS}


@pytest.mark.parametrize("name", SPELLS)
def test_front_matter_is_complete(name):
    spell = read_spell(SPELLS[name])
    assert spell.description.endswith(".")
    assert all(parameter.help for parameter in spell.params.values())
    assert len(spell.source.splitlines()) <= 60


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
async def test_the_tests_of_a_spell(file):
    result = await run_tests(file, Project(file.parent))
    assert result.failure is None
    assert result.tests
    assert [test for test in result.tests if test.status != "passed"] == []
    assert result.written == 0


TEXT = "One sentence after the other. " * 500

CRASHES = {
    "ask": {"params": {"question": "Capital of France?"}, "script": ["Paris."]},
    "assistant": {
        "params": {"request": "put milk on the list"},
        "script": [ToolCall("1", "add_item", {"item": "milk"}), "Done."],
    },
    "chat": {"lines": ["hello", "and again", "", "never read"], "script": ["hi", "hi again"]},
    "counter": {"params": {"by": 2}, "scopes": {"counter": {"count": 40}}},
    "hello": {
        "script": [ToolCall("1", "roll_die", {"sides": 6}), "It is a number."],
        "state": {"hello.visits": 41},
    },
    "panel": {
        "params": {"question": "Tea?"},
        "script": lambda r: '{"winner": 1, "why": "it is short"}' if r.output else "Yes.",
    },
    "redact": {"params": {"text": "Write to bob@example.com!"}, "script": ["I will."]},
    "summarise": {
        "params": {"file": "text.txt"},
        "script": lambda r: f"a summary of {len(r.messages[0].text)} characters",
        "tools": {"read_file": lambda _: TEXT},
    },
}
LEAVES = {
    "ask": 2,
    "assistant": 3,
    "chat": 6,
    "counter": 4,
    "hello": 4,
    "panel": 5,
    "redact": 1,
    "summarise": 6,
}


def test_all_are_killed():
    assert CRASHES.keys() == SPELLS.keys()


@pytest.mark.parametrize("name", CRASHES)
def test_a_spell_survives_a_kill_after_everything_it_does(name, tmp_path):
    kills = crash_matrix(SPELLS[name], project=Project(tmp_path), **CRASHES[name])
    assert kills == LEAVES[name]


async def test_hello_on_the_embedded_model(tmp_path):
    printed = []
    async with Runtime(project=Project(tmp_path), model="local/smollm2") as runtime:
        await runtime.run(SPELLS["hello"], output=printed.append)
    assert re.fullmatch(r"  model   .*\d+\.?", printed[2])
