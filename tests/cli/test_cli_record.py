"""`llmspell run --record-permissions`: what a run used becomes what its spell asks for."""

import os

import pytest

from llmspell.spell import parse_spell

USES = """\
local text = read_file{path = "data/a.txt"}
write_file{path = "out/b.txt", content = text, create_folders = true}
return #text
"""
ASKS = """\
--- /// spell
--- [permissions]
--- read = ["data/a.txt"]
--- write = ["out"]
--- ///
"""


@pytest.fixture
def record(llmspell):
    def run(*arguments, **options):
        return llmspell("run", "--record-permissions", *arguments, **options)

    return run


@pytest.fixture
def data(write):
    return write("data/a.txt", "hello")


def asked_by(spell):
    return parse_spell(spell.read_bytes(), name="s", file="s").permissions


def test_what_was_used_is_asked_for(record, llmspell, write, data):
    spell = write("s.lua", USES)
    done = record("-A", "s.lua")
    assert (done.code, done.out) == (0, "5\n")
    assert done.err == "s.lua now asks for --allow-read=data/a.txt --allow-write=out\n"
    assert spell.read_text() == ASKS + USES

    again = record("-A", "s.lua")
    assert again.err == "s.lua already asks for all that was used\n"
    assert spell.read_text() == ASKS + USES
    assert llmspell("check", "s.lua").out.endswith(
        "  granted with: --allow-read=data/a.txt --allow-write=out\n"
    )
    assert llmspell("--allow-read=data/a.txt", "--allow-write=out", "s.lua").out == "5\n"


def test_it_grants_nothing_by_itself(record, write, data):
    spell = write("s.lua", USES)
    done = record("--allow-read", "s.lua")
    assert done.code == 3
    assert "write_file may not write out/b.txt" in done.err
    assert asked_by(spell) == {"read": ["data/a.txt"]}


def test_a_run_that_fails_is_recorded_too(record, write, data):
    spell = write("s.lua", f"{USES.replace('return', 'local _ =')}\nerror('late')")
    done = record("-A", "s.lua")
    assert done.code == 1
    assert "late" in done.err
    assert asked_by(spell) == {"read": ["data/a.txt"], "write": ["out"]}


def test_what_was_refused_is_not_recorded(record, write, data):
    spell = write("s.lua", "return select(2, pcall(read_file, {path = '/etc/hosts'})).code")
    done = record("s.lua")
    assert (done.out, done.code) == ("permission_denied\n", 0)
    assert asked_by(spell) == {}
    assert spell.read_text().startswith("return")


def test_the_rest_of_the_front_matter_stays(record, write, data):
    front = 'description = "x"  # why\n[permissions]\nenv = ["HOME"] # H\n[params]\nn = 1'
    spell = write("s.lua", USES, front)
    assert record("-q", "-A", "s.lua", "--n", "2").err == ""
    assert spell.read_text() == (
        "--- /// spell\n"
        '--- description = "x"  # why\n'
        "--- [permissions]\n"
        '--- env = ["HOME"] # H\n'
        '--- read = ["data/a.txt"]\n'
        '--- write = ["out"]\n'
        "--- [params]\n"
        "--- n = 1\n"
        f"--- ///\n{USES}"
    )


def test_in_the_settings_beside_main(record, write, data):
    spell, settings = write("big/main.lua", USES), write("big/spell.toml", 'name = "big"\n')
    done = record("-A", "big")
    assert (done.code, done.err) == (
        0,
        "big/spell.toml now asks for --allow-read=data/a.txt --allow-write=out\n",
    )
    assert spell.read_text() == USES
    assert settings.read_text() == (
        'name = "big"\n[permissions]\nread = ["data/a.txt"]\nwrite = ["out"]\n'
    )


def test_all_kinds(record, write, tools, model):
    spell = write(
        "s.lua",
        """
        os.getenv("HOME")
        run_program{program = "true"}
        add{a = 1}
        pcall(http_request, {url = "http://127.0.0.1:9/x"})
        Agent.create{model = "test/ok"}:prompt("Hello.")
        Agent.create():prompt("Hello.")
        """,
    )
    done = record("-A", tools, model("slow"), "s.lua")
    assert done.code == 0
    assert asked_by(spell) == {
        "net": ["127.0.0.1:9"],
        "run": ["true"],
        "env": ["HOME"],
        "tool": ["add"],
        "llm": ["test/ok"],  # every spell may ask the default model
    }


def test_an_isolated_run(record, write, data):
    spell = write("s.lua", USES)
    assert record("-A", "--untrusted", "s.lua").code == 0
    assert asked_by(spell) == {"read": ["data/a.txt"], "write": ["out"]}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["-"], "needs a spell in a file"),
        (["hello"], "does not change spells that come with llmspell"),
        (["/dev/stdin"], "needs a spell in a file"),
    ],
)
def test_where_it_cannot_be_written(record, arguments, problem):
    done = record(*arguments, stdin="print('it ran')")
    assert done.code == 2
    assert done.out == ""
    assert f"error: --record-permissions {problem}" in done.err
    assert "hint: " in done.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only(record, write):
    folder = write("there/s.lua", "print('it ran')").parent
    folder.chmod(0o555)
    done = record("there/s.lua")
    folder.chmod(0o755)
    assert (done.code, done.out) == (2, "")
    assert "cannot write to" in done.err


def test_a_spell_that_was_changed_meanwhile(record, write, data):
    wrong = "--- /// spell\n--- permissions = 1\n--- ///\n"
    text = f"read_file{{path = 'data/a.txt'}}\nwrite_file{{path = 's.lua', content = [[{wrong}]]}}"
    spell = write("s.lua", text)
    done = record("-A", "s.lua")
    assert done.code == 2
    assert "s.lua: front matter: permissions must be a table" in done.err
    assert spell.read_text() == wrong


def test_exec_has_no_such_option(llmspell):
    done = llmspell("exec", "--record-permissions", "return 1")
    assert done.code == 2
    assert "no such option: --record-permissions" in done.err
