"""`llmspell check`: what is wrong with spells and what they ask for, without running them."""

import json
import shlex

import pytest

FRONT = """\
description = "Write down the weather."
[params]
city = { help = "Where" }
days = { default = 2, choices = [1, 2] }
[permissions]
read = ["notes", "with space"]
net = ["*"]
[limits]
memory = "16MiB"
effects = 50
"""


@pytest.fixture
def checked(llmspell):
    """The JSON and the exit code of a check."""

    def check(*names, **options):
        done = llmspell("check", "--json", *names, **options)
        assert done.err == ""
        return json.loads(done.out), done.code

    return check


def test_a_spell_and_what_it_asks_for(llmspell, write):
    write("weather.lua", "error('it ran')", FRONT)
    done = llmspell("check", "weather.lua")
    assert (done.code, done.err) == (0, "")
    assert (
        done.out
        == """\
weather.lua
  Write down the weather.
  yours, run in this process
  parameters:
    city  string, required  Where
    days  integer, default: 2, one of 1, 2
  asks to:
    read notes
    read with space
    reach every public host
  granted with: --allow-read='notes,with space' --allow-net
  limits memory to 16 MiB
  limits effects to 50
"""
    )


def test_as_json(checked, write):
    write("weather.lua", "return 1", FRONT)
    [found], code = checked("weather.lua")
    assert code == 0
    assert found == {
        "spell": "weather.lua",
        "ok": True,
        "name": "weather",
        "file": "weather.lua",
        "description": "Write down the weather.",
        "own": True,
        "isolated": False,
        "params": {
            "city": {"type": "string", "help": "Where", "required": True},
            "days": {
                "type": "integer",
                "help": "",
                "required": False,
                "default": 2,
                "choices": [1, 2],
            },
        },
        "permissions": {"read": ["notes", "with space"], "net": ["*"]},
        "flags": ["--allow-read='notes,with space'", "--allow-net"],
        "limits": {"memory": 16 << 20, "effects": 50},
        "problems": [],
    }


def test_a_spell_that_asks_for_nothing(llmspell, write):
    write("s.lua", "return 1")
    assert llmspell("check", "s.lua").out == (
        "s.lua\n  yours, run in this process\n  asks for no permission\n"
    )


def test_the_flags_are_those_that_grant_it(llmspell, write):
    write("it's,me.txt", "hello")
    front = """[permissions]\nread = ["it's,me.txt"]"""
    write("s.lua", 'return read_file{path = "it\'s,me.txt"}', front)
    [found] = json.loads(llmspell("check", "--json", "s.lua").out)
    [flag] = shlex.split(" ".join(found["flags"]))
    assert llmspell("run", flag, "s.lua").out == "hello\n"


def test_what_a_spell_says_cannot_hide_what_it_asks_for(llmspell, write):
    front = 'description = "Fine.\\u001b[8m\\r\\u001b[2K"\n[permissions]\nrun = ["a\\u001b[2K"]'
    write("s.lua", "return 1", front)
    shown = llmspell("check", "s.lua").out
    assert "\x1b" not in shown
    assert "\r" not in shown
    assert "run a\\x1b[2K" in shown
    write("s.lua", "x = \x1b[2K =\t1")
    done = llmspell("check", "s.lua")
    assert done.err.endswith("  | x = \\x1b[2K =  1\n")


def test_a_stranger_is_kept_apart(checked, write, project, tmp_path):
    write("llmspell.toml", "")
    outside = tmp_path / "other.lua"
    outside.write_text("return 1")
    write("mine.lua", "return 1")
    found, _ = checked(str(outside), "mine.lua")
    assert [(one["own"], one["isolated"]) for one in found] == [(False, True), (True, False)]
    write("llmspell.toml", "isolate = true")
    found, _ = checked(str(outside), "mine.lua")
    assert [(one["own"], one["isolated"]) for one in found] == [(False, True), (True, True)]


def test_a_syntax_error(llmspell, checked, write):
    write("s.lua", "local a = 1\nlocal b = = 2\n", 'description = "x"')
    done = llmspell("check", "s.lua")
    assert done.code == 1
    assert done.err == "error: s.lua:5: unexpected symbol near '='\n  | local b = = 2\n"
    [found], code = checked("s.lua")
    assert (found["ok"], code) == (False, 1)
    assert found["problems"] == [
        {
            "code": "spell_syntax",
            "message": "unexpected symbol near '='",
            "where": "s.lua:5",
            "hint": None,
        }
    ]


def test_every_problem_of_the_front_matter_and_of_the_lua(llmspell, write):
    front = """\
nme = "x"
description = 3
[params]
a = { type = "text" }
b = { default = 1, choices = [2] }
[permissions]
red = ["x"]
net = "example.com"
[limits]
memory = "much"
"""
    write("s.lua", "return +", front)
    done = llmspell("check", "s.lua")
    assert done.code == 2
    for problem in (
        "unknown key 'nme'",
        "description must be a string",
        "params.a: unknown type 'text'",
        "params.b: its default must be one of 2",
        "permissions.red: unknown kind",
        "permissions.net: must be a list of strings",
        "limits.memory: must be a size",
        "error: s.lua:13: unexpected symbol near '+'",
    ):
        assert problem in done.err


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("\x1bLua", "attempt to load a binary chunk"),
        (f"x = {'(' * 300}", "C stack overflow"),
        (f"x = {{{'1,' * 100_000}}}", "it takes more than 65,536 bytes to compile"),
    ],
)
def test_what_the_compiler_cannot_take(llmspell, write, text, problem):
    write("llmspell.toml", "limits.memory = 65_536")
    write("s.lua", text)
    done = llmspell("check", "s.lua")
    assert done.code == 1
    assert done.err.startswith("error: s.lua: ")
    assert problem in done.err


def test_all_spells_of_the_project(checked, write):
    write("spells/b.lua", "return 1")
    write("spells/a/main.lua", "return +")
    write("other.lua", "return 1")
    found, code = checked()
    assert [one["spell"].rsplit("/spells/")[1] for one in found] == ["a/main.lua", "b.lua"]
    assert code == 1
    [named], _ = checked("b")
    assert named["name"] == "b"


def test_a_project_without_spells(llmspell):
    done = llmspell("check")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "error: no spell given, and the project has none in spells/\nhint: name a file\n"
    )


def test_the_exit_code_is_that_of_the_first_problem(llmspell, write):
    write("wrong.lua", "return +")
    write("fine.lua", "return 1")
    done = llmspell("check", "fine.lua", "nowhere.lua", "wrong.lua")
    assert done.code == 2
    assert "fine.lua\n" in done.out
    assert "no file nowhere.lua" in done.err
    assert "unexpected symbol" in done.err
    assert llmspell("check", "wrong.lua", "nowhere.lua").code == 1


def test_from_standard_input(llmspell):
    done = llmspell("check", "-", stdin="return +")
    assert done.code == 1
    assert "error: stdin:1: unexpected symbol near '+'" in done.err


def test_the_shipped_spells_are_fine(checked, llmspell):
    names = [line.split()[0] for line in llmspell("spells").out.splitlines() if line[0] == " "]
    found, code = checked(*names)
    assert (code, len(found)) == (0, len(names))


def test_an_approval_of_what_does_not_exist(llmspell, write):
    write("mail.lua", "return 1", '[approve]\neffects = ["tool.cal:send_mail"]\n')
    done = llmspell("check", "mail.lua")
    assert done.code == 2
    assert "mail.lua: approve.effects: tool.cal:send_mail: no effect named 'tool.cal'" in done.err
