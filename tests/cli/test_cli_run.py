import shutil
import sys

import pytest

GREET = """\
for n = 1, params.times do
  print("hi " .. params.name, params.loud, params.tone, #params.tags)
end
print(#arg, ...)
return {name = params.name, times = params.times}
"""
FRONT = """\
description = "Say hi."
[params]
name = { type = "string", help = "Who" }
times = { type = "integer", default = 1, help = "How often" }
loud = { type = "boolean", default = false }
tone = { type = "string", default = "warm", choices = ["warm", "cold"] }
tags = { type = "list", default = [] }
"""


@pytest.fixture
def greet(write):
    return write("greet.lua", GREET, FRONT)


@pytest.mark.parametrize("words", [("run", "greet.lua"), ("greet.lua",), ("./greet.lua",)])
def test_a_file(llmspell, greet, words):
    done = llmspell(*words, "--name", "Bob")
    assert done.code == 0
    assert done.out == 'hi Bob\tfalse\twarm\t0\n0\n{\n  "name": "Bob",\n  "times": 1\n}\n'
    assert done.err == ""


def test_parameters_of_every_type_and_arguments(llmspell, greet):
    words = "--name=Bob --times 2 --loud --tone cold --tags a,b -- x --y"
    done = llmspell("greet.lua", *words.split())
    assert done.out.splitlines()[:3] == ["hi Bob\ttrue\tcold\t2"] * 2 + ["2\tx\t--y"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("", "--name is required"),
        ("--name B --times two", "--times must be an integer, not 'two'"),
        ("--name B --tone hot", "--tone must be one of warm, cold, not 'hot'"),
        ("--name B --nmae x", "no such option: --nmae\nhint: did you mean --name?"),
        ("--name", "option '--name' requires an argument"),
    ],
)
def test_wrong_parameters(llmspell, greet, words, problem):
    done = llmspell("greet.lua", *words.split())
    assert (done.code, done.out) == (2, "")
    assert problem in done.err
    assert "hint: " in done.err
    if "did you mean" not in done.err:
        assert "llmspell run greet.lua --help" in done.err


def test_help_is_made_from_the_front_matter(llmspell, greet):
    done = llmspell("run", "greet.lua", "--help")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(
        "Usage: llmspell run greet.lua [OPTIONS] [ARGUMENTS]...\n\n  Say hi."
    )
    own = done.out[done.out.index("Parameters:") : done.out.index("Options:")].splitlines()
    assert own[1:6] == [
        "  --name STRING       Who [required]",
        "  --times INTEGER     How often [default: 1]",
        "  --loud / --no-loud  [default: false]",
        "  --tone STRING       [one of warm, cold; default: warm]",
        "  --tags LIST         [default: []]",
    ]
    assert "--allow-net[=HOST,...]" in done.out
    assert llmspell("greet.lua", "-h").out == done.out


def test_a_list_may_be_given_in_parts(llmspell, write):
    front = "[params]\nitems = { type = 'list', default = ['x'] }\n"
    write("list.lua", "return table.concat(params.items, '|')", front)
    for words, items in (
        ([], "x"),
        (["--items", "a,b", "--items", '["c,d"]', "--items", ""], "a|b|c,d"),
        (["--items", ""], ""),
    ):
        assert llmspell("list.lua", *words) == (0, f"{items}\n", "")
    done = llmspell("list.lua", "--items", "a", "--items", "[b]")
    assert done.code == 2
    assert done.err.startswith(
        "error: list: --items must be a list: '[b]' begins with [, but is not "
    )


def test_a_parameter_may_have_the_name_of_an_option(llmspell, write):
    write("p.lua", "return params.json", "[params]\njson = 1")
    assert llmspell("p.lua", "--json", "5").out == "5\n"
    assert llmspell("--json", "p.lua", "--json", "5").out == "5\n"
    assert "--json INTEGER" in llmspell("p.lua", "--help").out


@pytest.mark.parametrize(
    ("front", "words", "value"),
    [
        ("no_record = 'x'", ["--no-record", "y"], "y"),
        ("prompt = true", ["--no-prompt"], "false"),
        ("allow_read = 'x'", ["--allow-read", "y"], "y"),
        ("allow_read = 'x'", ["--allow-read=y"], "y"),
        ("_x = true", ["--no-_x"], "false"),
        ("a_b = false", ["--a_b"], "true"),
        ("a_b = false", ["--a-b"], "true"),
    ],
)
def test_a_parameter_takes_every_spelling_of_its_name(llmspell, write, front, words, value):
    write("p.lua", "return (select(2, next(params)))", f"[params]\n{front}")
    assert llmspell("p.lua", *words) == (0, f"{value}\n", "")
    assert llmspell("--no-prompt", "--no-record", "--allow-read", "p.lua", *words).code == 0


@pytest.mark.parametrize("word", ["false", "No", "1"])
def test_a_word_after_a_flag_is_not_dropped(llmspell, write, word):
    write("p.lua", "return params.loud", "[params]\nloud = true")
    done = llmspell("p.lua", "--loud", word)
    assert done.code == 2
    assert done.err == (
        f"error: --loud {word}: it takes no value\n"
        f"hint: write --loud or --no-loud, or -- {word} if it is an argument\n"
    )
    assert llmspell("p.lua", "--loud", "--", word).out == "true\n"
    assert llmspell("p.lua", "--loud", "tea").out == "true\n"


def test_options_stand_before_or_after_the_spell(llmspell, greet):
    after = llmspell("greet.lua", "--name", "B", "--json")
    assert after.out == '{"name": "B", "times": 1}\n'
    assert after.err == "hi B\tfalse\twarm\t0\n0\n"
    assert llmspell("run", "--json", "greet.lua", "--name", "B") == after
    assert llmspell("--json", "greet.lua", "--name", "B") == after


@pytest.fixture
def on_path(shell, project):
    """Run a line of bash with an `llmspell` on the PATH, as an installed one is."""
    script = project / "bin" / "llmspell"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m llmspell "$@"\n')
    script.chmod(0o755)
    return lambda line: shell(f'PATH="{script.parent}:$PATH"\n{line}')


def test_an_executable_spell(on_path, write):
    spell = write("up", '#!/usr/bin/env llmspell\nprint("up", ...)\nreturn #read_file{path="up"}\n')
    spell.chmod(0o755)
    assert on_path("./up a b").code == 3
    spell.write_text(spell.read_text().replace("env llmspell", "env -S llmspell --allow-read"))
    done = on_path("./up a b")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == ["up\ta\tb", str(spell.stat().st_size)]
    shutil.move(spell, spell.parent / "bin" / "up")
    assert on_path("cp bin/up up; up c").out.startswith("up\tc\n")


@pytest.mark.parametrize("words", [("-",), ("run", "-")])
def test_standard_input(llmspell, words):
    done = llmspell(*words, "a", stdin="print('in', ...) return 5")
    assert done == (0, "in\ta\n5\n", "")


def test_a_pipe_in_place_of_a_file(shell):
    assert shell("llmspell run <(echo 'return 7')").out == "7\n"


def test_a_folder(llmspell, write, project):
    write("trip/main.lua", 'return require("words").greet(params.who)')
    write("trip/words.lua", 'return {greet = function(who) return "hello " .. who end}')
    write("trip/spell.toml", 'description = "A trip."\n[params]\nwho = "you"')
    assert llmspell("trip", "--who", "me").out == "hello me\n"
    assert llmspell("run", "trip/main.lua").out == "hello you\n"
    assert llmspell("trip", cwd=project / "trip").code == 2
    assert llmspell(".", cwd=project / "trip").out == "hello you\n"
    assert "A trip." in llmspell("run", "trip", "--help").out


def test_a_spell_of_the_project_by_name(llmspell, write, project):
    write("llmspell.toml", "")
    write("spells/one.lua", "return 1", 'description = "The first."')
    write("spells/two/main.lua", "return 2")
    write("deep/er/x.txt", "")
    inside = project / "deep" / "er"
    assert llmspell("run", "one", cwd=inside).out == "1\n"
    assert llmspell("run", "two", cwd=inside).out == "2\n"
    listed = llmspell("spells", cwd=inside)
    assert listed.code == 0
    assert "  one        The first.\n" in listed.out
    assert listed.out.index("project") < listed.out.index("two") < listed.out.index("shipped")
    assert "  counter    Count in" in listed.out


def test_a_broken_spell_does_not_hide_the_others(llmspell, write):
    write("spells/bad.lua", "return 1", "x = ")
    listed = llmspell("spells")
    assert listed.code == 0
    assert "(spells/bad.lua: front matter: Invalid value" in listed.out
    assert "counter" in listed.out


def test_a_description_does_not_forge_another_spell(llmspell, write):
    write("spells/tea.lua", "", 'description = "Tea.\\n  cake  \\u001b[2K"')
    assert "  tea        Tea.\\n  cake  \\x1b[2K\n" in llmspell("spells").out


def test_a_spell_outside_the_project(llmspell, tmp_path, project):
    (tmp_path / "out.lua").write_text("local x = nil\nreturn x.y\n")
    near = llmspell("../out.lua")
    assert near.code == 1
    assert near.err.startswith("error: ../out.lua:2: ")
    assert "  | return x.y\n" in near.err


def test_exec(llmspell):
    assert llmspell("exec", "return 1 + 1") == (0, "2\n", "")
    assert llmspell("exec", "return arg[1], ...", "a").out == "a\n"
    assert llmspell("exec", "return ...", "--", "--flag").out == "--flag\n"
    assert llmspell("exec", "return nil").out == ""
    assert llmspell("exec", "return false").out == "false\n"


def test_state_is_kept_or_not(llmspell, project):
    count = "return State.update('n', function(n) return (n or 0) + 1 end)"
    assert llmspell("exec", "--state=memory", count).out == "1\n"
    assert not (project / ".llmspell" / "state.db").exists()
    assert [llmspell("exec", count).out for _ in range(2)] == ["1\n", "2\n"]
    assert llmspell("exec", "--state", "memory", count).out == "1\n"


READ = 'return #read_file{path = "note.txt"}'


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ("", 3),
        ("--allow-read", 0),
        ("--allow-read=.", 0),
        ("--allow-read=note.txt", 0),
        ("--allow-read=/nowhere,.", 0),
        ("--allow-read=/nowhere --allow-read=.", 0),
        ("--allow-read=/nowhere", 3),
        ("--allow-write", 3),
        ("-A", 0),
        ("--allow-all", 0),
    ],
)
def test_grants(llmspell, write, options, code):
    write("note.txt", "12345")
    done = llmspell("exec", *options.split(), READ)
    assert done.code == code
    assert done.out == ("" if code else "5\n")
    if code:
        assert "read_file may not read note.txt\n" in done.err
        assert "hint: grant it with --allow-read=note.txt\n" in done.err


def test_verbose_quiet_and_debug(llmspell, tools):
    lua = 'Log.warn("careful", {n = 1}) Log.info("by the way") return add{a = 1}'
    plain, verbose, quiet, debug = (
        llmspell("exec", tools, *flags, lua) for flags in ((), ("-v",), ("--quiet",), ("--debug",))
    )
    assert plain == (0, "2\n", "warning: careful n=1\n")
    assert verbose.err.splitlines()[:2] == ["warning: careful n=1", "info: by the way"]
    assert verbose.err.splitlines()[2].startswith("info: add took 0.")
    assert quiet == (0, "2\n", "")
    assert "DEBUG llmspell.run: 0/0 log.write" in debug.err
    assert {verbose.out, debug.out} == {"2\n"}


def test_a_log_line_shows_whatever_it_is_given(llmspell):
    done = llmspell("exec", r'Log.warn("tea \xff", {c = 1, b = {2}, a = "\xff"}) Log.warn("x", {})')
    assert done == (0, "", "warning: tea \\xff a=b'\\xff' b=[2] c=1\nwarning: x\n")


def test_tools_of_a_file(llmspell, tools):
    assert llmspell("exec", tools, "return add{a = 1, b = 2}").out == "3\n"


def test_the_version(llmspell):
    from llmspell import __version__

    assert llmspell("version") == llmspell("--version") == (0, f"{__version__}\n", "")
