"""Recorded runs as fixtures."""

import pytest

from llmspell.config import Project
from llmspell.errors import JournalError, JournalMismatch
from llmspell.journal.reader import Reader
from llmspell.journal.transfer import export_run
from llmspell.testing import recorded, run_text
from llmspell.testing.lua_files import run_tests

pytestmark = pytest.mark.anyio

SPELL = """
local agent = Agent.create{system = "Be brief."}
return {agent:prompt("Tea?"), hash{data = arg[1] or "x"}, hash{data = "x"}}
"""


@pytest.fixture
async def fixture(tmp_path):
    """A file with a run of the spell, and what that returned."""
    project = Project(tmp_path)
    run = await run_text(SPELL, script=["Yes."], project=project, record=True)
    with Reader.open(project.journal_file) as reader:
        export_run(project.journal_file, reader.run("last"), tmp_path / "tea.run")
    return tmp_path / "tea.run", run.result


async def test_models_and_tools_answer_as_they_did(fixture):
    file, result = fixture
    tools = {"hash": lambda _: pytest.fail("it was really called")}
    run = await run_text(SPELL, middleware=[recorded(file)], tools=tools)
    assert run.result == result
    assert run.requests == []


@pytest.mark.parametrize(
    ("edited", "message"),
    [
        (("Tea?", "Coffee?"), "Coffee.*the nearest it has is model.request .*Tea"),
        (('"x"}}', '"x"}, hash{data = "x"}}'), "hash.*more often than in the record"),
        (
            ("return {", "return {now{}, "),
            "otherwise than in the record; the nearest it has is tool",
        ),
    ],
)
async def test_what_was_not_recorded_ends_the_run(edited, message, fixture):
    source = f"local ok, e = pcall(function() {SPELL.replace(*edited)} end) return tostring(e)"
    with pytest.raises(JournalMismatch, match=message):
        await run_text(source, middleware=[recorded(fixture[0])])


async def test_in_lua(fixture, tmp_path):
    (tmp_path / "spell.lua").write_text(SPELL)
    (tmp_path / "spell_test.lua").write_text("""
        it("is as it was", function()
          local run = Test.run("spell.lua", {recorded = "tea.run"})
          expect(run.result[1]):to_be("Yes.")
          local other = {recorded = "tea.run", arguments = {"y"}}
          expect(function() Test.run("spell.lua", other) end):to_fail_with("journal_mismatch")
        end)
    """)
    result = await run_tests(tmp_path / "spell_test.lua", Project(tmp_path))
    assert [test.status for test in result.tests] == ["passed"], result


async def test_a_missing_recording_fails_only_its_test(tmp_path):
    (tmp_path / "spell_test.lua").write_text("""
        it("has none", function() Test.run("return 1", {recorded = "no.run"}) end)
        it("needs none", function() Test.run("return 1") end)
    """)
    result = await run_tests(tmp_path / "spell_test.lua", Project(tmp_path))
    assert [test.status for test in result.tests] == ["failed", "passed"]
    file = tmp_path / "no.run"
    assert result.tests[0].failure.message == f"Test.run: recorded: there is no recorded run {file}"
    with pytest.raises(JournalError, match="no recorded run"):
        recorded(file)
