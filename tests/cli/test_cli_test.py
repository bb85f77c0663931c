"""`llmspell test`: what it shows, and what it exits with."""

import json
from xml.etree import ElementTree as ET

import pytest

TESTS = """describe("tea", function()
  it("is hot", function() print("said") end)
  it("is cheap", function()
    expect({price = 3}):to_equal({price = 2})
  end)
  it("is red")
end)
"""


@pytest.fixture
def tea(write):
    return write("spells/tea_test.lua", TESTS)


def test_failures_with_place_and_line_and_a_summary(llmspell, tea):
    done = llmspell("test")
    assert done.code == 1
    assert done.err == ""
    assert done.out.splitlines() == [
        "said",
        "",
        "✗ spells/tea_test.lua: tea > is cheap",
        "  spells/tea_test.lua:4: .price: expected 2, got 3",
        "    | expect({price = 3}):to_equal({price = 2})",
        "1 passed, 1 failed, 1 skipped",
    ]


def test_limits_are_raised_as_the_hint_of_a_breach_says(llmspell, write):
    write("long_test.lua", "it('counts', function() for i = 1, 1e5 do end end)")
    done = llmspell("test", "--limit", "instructions=50000")
    assert (done.code, "raise it with --limit instructions=100_000," in done.out) == (1, True)
    assert llmspell("test", "--limit", "instructions=1_000_000").out == "1 passed\n"


def test_success_is_one_line_in_a_pipe(llmspell, tea):
    done = llmspell("test", "--filter", "is hot")
    assert (done.code, done.out) == (0, "said\n1 passed\n")


def test_every_test_is_named_when_asked_for(llmspell, tea):
    lines = llmspell("test", "-v", "spells/tea_test.lua").out.splitlines()
    assert lines[:5] == [
        "spells/tea_test.lua",
        "said",
        "  ✓ tea > is hot",
        "  ✗ tea > is cheap",
        "  - tea > is red",
    ]


def test_and_on_a_terminal(terminal, tea):
    seen = terminal("test")
    assert seen.wait() == 1
    assert "  ✓ tea > is hot" in seen.screen.lines


def test_names_and_messages_do_nothing_to_a_terminal(llmspell, write):
    write("odd_test.lua", "it('a \\27[31m', function() error('b \\27]0;c') end)")
    shown = llmspell("test", "-v").out
    assert "✗ a \\x1b[31m" in shown
    assert "b \\x1b]0;c" in shown


def test_as_json(llmspell, tea):
    done = llmspell("test", "--json")
    assert (done.code, done.err) == (1, "said\n")
    (file,) = json.loads(done.out)
    assert file["file"] == "spells/tea_test.lua"
    assert [test["status"] for test in file["tests"]] == ["passed", "failed", "skipped"]
    assert file["tests"][1]["failure"]["where"] == "spells/tea_test.lua:4"


def test_as_junit(llmspell, tea, project, write):
    write("broken_test.lua", "local =")
    assert llmspell("test", "--junit", "out.xml").code == 1
    suites = {suite.get("name"): suite for suite in ET.parse(project / "out.xml").getroot()}
    suite = suites["spells/tea_test.lua"]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    assert suite[1].find("failure").get("message") == ".price: expected 2, got 3"
    assert suites["broken_test.lua"].get("errors") == "1"


def test_junit_of_what_xml_has_no_way_to_say(llmspell, project, write):
    write("a_test.lua", r'it("a\0<b>\27[31m", function() error("\27[0m\u{FFFF}\r\nhot\255") end)')
    assert llmspell("test", "--junit", "out.xml").code == 1
    (case,) = ET.parse(project / "out.xml").getroot()[0]
    assert case.get("name") == r"a\x00<b>\x1b[31m"
    failure = case.find("failure")
    assert failure.get("message") == r"\x1b[0m\uffff\r"
    assert failure.text == "a_test.lua:1: " + r"\x1b[0m\uffff\r" + "\nhot" + r"\xff"


def test_a_file_that_cannot_be_run_fails_and_the_others_go_on(llmspell, tea, write):
    write("broken_test.lua", "\nlocal =")
    done = llmspell("test")
    assert "✗ broken_test.lua\n  broken_test.lua:2: <name> expected near" in done.out
    assert done.out.endswith("1 passed, 2 failed, 1 skipped\n")


def test_the_first_failure_may_be_the_last(llmspell, tea, write):
    write("a_test.lua", 'it("a", function() error("no") end) it("b", function() end)')
    assert llmspell("test", "-x").out.endswith("\n1 failed\n")


def test_snapshots(llmspell, write, project):
    tests = 'it("a", function() snapshot("one") end)'
    write("a_test.lua", tests)
    assert llmspell("test").out == "1 passed, 1 snapshot written\n"
    write("a_test.lua", tests.replace("one", "two"))
    done = llmspell("test")
    assert (done.code, "the snapshot differs: expected" in done.out) == (1, True)
    assert llmspell("test", "--update").out == "1 passed, 1 snapshot written\n"
    assert "two" in (project / "__snapshots__" / "a_test.snap").read_text()


def test_what_a_test_may_touch_is_granted_on_the_command_line(llmspell, write):
    note = write("note.txt", "tea")
    write(
        "a_test.lua", f'it("a", function() expect(read_file{{path = "{note}"}}):to_be("tea") end)'
    )
    done = llmspell("test")
    assert (done.code, "grant it with --allow-read=" in done.out) == (1, True)
    assert llmspell("test", "--allow-read").code == 0


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "no tests found: no file name ends in _test.lua"),
        (["nix"], "no file nix"),
        (["--timeout", "0"], "Invalid value for '--timeout'"),
    ],
)
def test_misuse(arguments, problem, llmspell):
    done = llmspell("test", *arguments)
    assert done.code == 2
    assert problem.lower() in done.err.lower()


def test_a_filter_that_selects_nothing(llmspell, tea):
    done = llmspell("test", "--filter", "coffee")
    assert (done.code, done.err.splitlines()[0]) == (2, "error: no test has 'coffee' in its name")


def test_nobody_is_there_and_nothing_is_recorded(llmspell, write):
    write("ask_test.lua", 'it("asks", function() Human.ask("Tea?") end)')
    done = llmspell("test", "--timeout=600")
    assert done.code == 1
    assert "ask_test.lua:1: the test has no answer for: Tea?" in done.out
    assert "hint: give the run its answers: Test.run(SPELL, {answers = " in done.out
    assert llmspell("runs").out == "no runs have been recorded here\n"


def test_what_python_prints_is_not_among_the_json(llmspell, tools, write):
    write("llmspell.toml", f"[tools]\nmodules = ['{tools.removeprefix('--tools=')}']\n")
    write("a_test.lua", 'it("prints", function() mutter{lines = 1} end)')
    done = llmspell("test", "--json")
    assert json.loads(done.out)[0]["tests"][0]["status"] == "passed"
    assert done.err == "muttered 0\n"
