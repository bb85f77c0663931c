"""Questions and approvals on a terminal, and where there is none."""

import pytest

ASK = "print('got ' .. Human.ask('Which city?', {choices = {'Oslo', 'Rome'}, default = 'Rome'}))"
CHOICES = "y = yes, n = no, e = edit the arguments: "
SETTINGS = '[approve]\neffects = ["tool.call:add"]\n'


@pytest.fixture
def approving(write, tools):
    write("llmspell.toml", SETTINGS)
    return tools


@pytest.mark.parametrize(
    ("typed", "answer"), [("1", "Oslo"), ("rome", "Rome"), ("", "Rome"), ("3\nx\n2", "Rome")]
)
def test_a_question(typed, answer, terminal):
    seen = terminal("exec", ASK)
    for line in typed.split("\n"):
        seen.wait_for("[Rome] > ")
        seen.sent = ""
        seen.type(f"{line}\n")
    assert seen.wait() == 0
    assert seen.screen.lines[-1] == f"got {answer}"


def test_how_a_question_looks(terminal):
    seen = terminal("exec", "return Human.ask('Is\\27[2J it\\ntea?', {choices = {'yes', 'n\\ao'}})")
    seen.wait_for("> ")
    shown = seen.sent.partition("\x1b[0m")[2].split("\r\n")
    assert shown == ["exec asks: Is\\x1b[2J it", "tea?", "  1. yes", "  2. n\\x07o", "> "]


def test_a_free_answer_and_none(terminal):
    seen = terminal("exec", "return Human.ask('Name?')")
    for line in ("", " Ada "):
        seen.wait_for("> ")
        seen.sent = ""
        seen.type(f"{line}\n")
    assert seen.wait() == 0
    assert seen.screen.lines[-1] == "Ada"
    seen = terminal("exec", "return Human.ask('Name?')")
    seen.wait_for("> ")
    seen.type("\x04")
    assert seen.wait() == 3
    assert "the question was not answered" in seen.sent


def test_what_is_approved_is_done(terminal, approving):
    seen = terminal("exec", approving, "return add{a = 1, b = 2}")
    seen.wait_for(CHOICES)
    assert "exec wants your approval of tool.call:add\r\n" in seen.sent
    assert '  args: {"a": 1, "b": 2}' in seen.sent
    for line in ("perhaps", "Yes"):
        seen.wait_for(CHOICES)
        seen.sent = ""
        seen.type(f"{line}\n")
    assert seen.wait() == 0
    assert seen.screen.lines[-1] == "3"


def test_what_is_refused_is_not(terminal, approving):
    seen = terminal("exec", approving, "return add{a = 1, b = 2}")
    seen.wait_for(CHOICES)
    seen.type("no\n")
    seen.wait_for("Reason for the spell")
    seen.type("too much\n")
    assert seen.wait() == 3
    assert "tool.call:add was not approved: too much" in seen.sent


def test_arguments_are_edited(terminal, approving):
    seen = terminal("exec", approving, "return add{a = 1, b = 2}")
    seen.wait_for(CHOICES)
    seen.type("e\n")
    for line in ("nonsense", 'args = {"a": 40, "b": 2}', ""):
        seen.wait_for("name = value (empty to finish): ")
        seen.sent = ""
        seen.type(f"{line}\n")
    seen.wait_for(CHOICES)
    assert '  args: {"a": 40, "b": 2}' in seen.sent
    seen.type("y\n")
    assert seen.wait() == 0
    assert seen.screen.lines[-1] == "42"


def test_several_are_asked_one_after_the_other(terminal, approving):
    spell = "return Task.map({1, 2}, function(n) return add{a = n} end)"
    seen = terminal("exec", approving, spell)
    for _ in range(2):
        seen.wait_for(CHOICES)
        assert seen.sent.count(CHOICES) == 1
        seen.sent = ""
        seen.type("y\n")
    assert seen.wait() == 0


def test_elsewhere_it_fails_and_says_what_to_do(llmspell, approving):
    done = llmspell("exec", "--no-record", approving, "return add{a = 1}")
    assert done.code == 3
    assert "tool.call:add needs a person's approval, and there is nobody to ask" in done.err
    assert (
        "hint: run it on a terminal, or approve it in advance: --approve=tool.call:add" in done.err
    )
    given = llmspell("exec", approving, "--approve=tool.call:add", "return add{a = 1}")
    assert (given.code, given.out) == (0, "2\n")
    asked = llmspell("exec", "--no-record", ASK)
    assert (asked.code, "there is nobody to ask" in asked.err) == (3, True)
