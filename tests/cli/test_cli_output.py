"""Results go to standard output and nothing else does, wherever that leads."""

import json

import pytest


@pytest.mark.parametrize(
    ("lua", "people", "programs"),
    [
        ("return 'text'", "text\n", '"text"\n'),
        (
            "return {b = 1, a = {2, true}}",
            '{\n  "a": [\n    2,\n    true\n  ],\n  "b": 1\n}\n',
            '{"a": [2, true], "b": 1}\n',
        ),
        ("return 1.5", "1.5\n", "1.5\n"),
        ("return nil", "", "null\n"),
        ("return 'ü'", "ü\n", '"ü"\n'),
        ("return {}", "[]\n", "[]\n"),
    ],
)
def test_results(llmspell, lua, people, programs):
    assert llmspell("exec", lua) == (0, people, "")
    assert llmspell("exec", "--json", lua) == (0, programs, "")


@pytest.mark.parametrize("lua", ["return 0/0", "return print", "return {f = print}"])
def test_what_json_has_no_word_for(llmspell, lua):
    assert llmspell("exec", lua).code == 0
    done = llmspell("exec", "--json", lua)
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "error: the result holds something JSON cannot represent\n"
        "hint: return only text, finite numbers, booleans and tables of these\n"
    )


def test_bytes_that_are_no_text_are_written_as_they_are(shell, project):
    assert shell("llmspell exec \"print('\\255') return '\\254'\" > out").code == 0
    assert (project / "out").read_bytes() == b"\xff\n\xfe\n"


def test_arguments_that_are_no_text_arrive_as_they_are(shell, write, project):
    write("s.lua", "print(params.word, arg[1])", "params.word = ''")
    for command in ("run s.lua --word=$'caf\\xe9' -- $'\\xff'", "replay last"):
        assert shell(f"llmspell {command} > out").code == 0
        assert (project / "out").read_bytes() == b"caf\xe9\t\xff\n"


def test_print_comes_at_once(started):
    with started("exec", "print('now') Task.sleep(30)") as process:
        assert process.stdout.readline() == b"now\n"


def test_so_does_what_is_written_with_nothing_behind_it(started, llmspell):
    with started("exec", "Console.write('no', 'w ', 1) Task.sleep(30)") as process:
        assert process.stdout.read(5) == b"now 1"
    assert llmspell("exec", "Console.write('a') Console.write('b', '\\n') Console.write('c')") == (
        0,
        "ab\nc",
        "",
    )


def test_an_encoding_that_lacks_a_letter(llmspell):
    done = llmspell("exec", "print('é') return 'ü'", PYTHONIOENCODING="ascii")
    assert done == (0, "\\xe9\n\\xfc\n", "")


@pytest.mark.parametrize(
    "command",
    [
        "exec 'for i = 1, 100000 do print(i) end'",
        "exec 'Task.map({1, 2, 3}, function() for n = 1, 99 do Task.sleep(0.01) print(n) end end)'",
        "exec 'return (\"x\\n\"):rep(1000000)'",
    ],
)
def test_whoever_read_the_output_has_gone(shell, command):
    done = shell(f"llmspell {command} | head -n 1; exit ${{PIPESTATUS[0]}}")
    assert done.out.count("\n") == 1
    assert (done.code, done.err) == (1, "")


def test_nobody_ever_read_the_output(shell):
    done = shell("llmspell exec 'print(1)' | true; exit ${PIPESTATUS[0]}")
    assert done.err == ""


@pytest.mark.parametrize(
    "command",
    [
        "exec 'return 1'",
        "exec --json 'return 1'",
        "exec 'print(1)'",
        "tools",
        "tools --json",
        "version",
    ],
)
def test_a_full_disk(shell, command):
    done = shell(f"llmspell {command} > /dev/full")
    assert (done.code, done.out) == (1, "")
    assert "No space left on device\n" in done.err
    assert done.err.startswith("error: ")


@pytest.mark.parametrize("options", ["", "--debug"])
def test_an_error_that_cannot_be_shown_keeps_its_exit_code(shell, options):
    assert (
        shell(f"llmspell exec {options} 'read_file{{path = \"/etc/passwd\"}}' 2> /dev/full").code
        == 3
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(shell, closed):
    assert shell(f"llmspell exec 'print(Console.read_line()) return 1' {closed}").code == 0
    assert shell(f"llmspell run counter {closed}").code == 0
    assert shell(f"llmspell exec 'error(1)' {closed}").code == 1
    assert shell(f"llmspell exec --json 'return 1' {closed}").code == 0
    assert shell(f"llmspell tools --json {closed}").code == 0


def test_the_list_of_tools(llmspell, tools):
    listed = llmspell("tools", tools)
    assert (listed.code, listed.err) == (0, "")
    assert "files\n" in listed.out
    assert "  add " in listed.out
    only = llmspell("tools", tools, "--category", "user").out.splitlines()
    assert only[:2] == ["user", "  add          trusted code  Add two numbers."]
    assert len(only) == 6


def test_one_tool(llmspell, tools):
    assert llmspell("tools", "add", tools).out == (
        "add\nAdd two numbers.\n\ntrusted code: not limited by grants\n\n  a  integer, required\n      The first.\n"
        "  b  integer, default: 1\n"
    )


def test_tools_for_programs(llmspell, tools):
    every = json.loads(llmspell("tools", tools, "--json").out)
    one = json.loads(llmspell("tools", tools, "--json", "add").out)
    assert one[0] in every
    assert one[0]["schema"]["required"] == ["a"]
    assert set(one[0]) == {
        "name",
        "version",
        "category",
        "tags",
        "description",
        "touches",
        "schema",
    }


def test_a_tool_that_blocks_does_not_keep_the_process(llmspell, tools):
    done = llmspell("exec", tools, "local x = nap_briefly{seconds = 600}")
    assert done.code == 1
    assert "more than 0.2 seconds" in done.err


def test_a_table_with_mixed_keys_is_shown_in_order(llmspell):
    done = llmspell("exec", "return {1, x = {b = 2, a = print}, [5] = 'five'}")
    assert json.loads(done.out) == {"1": 1, "5": "five", "x": {"a": "<function>", "b": 2}}
    done = llmspell("exec", "--json", "return {1, x = 2}")
    assert done.out == '{"1": 1, "x": 2}\n'


def test_what_python_prints_is_not_among_the_json(llmspell, tools):
    done = llmspell("exec", tools, "--json", "print('lua') return mutter{lines = 1}")
    assert (done.code, done.out) == (0, '"done"\n')
    assert done.err.splitlines() == ["lua", "muttered 0"]


LOUD = """
import os, subprocess
from llmspell import tool

def shout(word):
    print(word, "python")
    subprocess.run(["echo", word, "child"], check=True)
    os.write(1, f"{word} descriptor\\n".encode())

shout("import")

@tool
def loud() -> str:
    shout("call")
    return "done"
"""


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["exec", "-A", "return loud{}"], ["import", "call"]),
        (["run", "s.lua", "-A"], ["import", "call"]),
        (["test", "-A"], ["import", "call"]),
        (["resume", "last"], ["call"]),
        (["tools"], ["import"]),
        (["doctor"], ["import"]),
        (["models", "--provider", "local"], []),
        (["plugins", "list"], []),
        (["state", "get", "n"], []),
    ],
)
def test_json_is_all_that_is_on_standard_output(llmspell, write, command, said):
    """Whoever writes there: Python code, its child programs, or what is written in C."""
    write("loud.py", LOUD)
    write("s.lua", "return loud{}")
    write("a_test.lua", "it('is loud', function() expect(loud{}):to_be('done') end)")
    write("llmspell.toml", '[tools]\nmodules = ["loud.py"]\n')
    assert llmspell("state", "set", "n", "1").code == 0
    if command[0] == "resume":
        assert (
            llmspell("exec", "--limit", "effects=1", "-A", "Task.sleep(0) return loud{}").code == 4
        )
        command = [*command, "--limit", "effects=9"]
    done = llmspell(*command, "--json")
    assert json.loads(done.out) is not None
    heard = done.err.splitlines()
    for word in said:
        assert {f"{word} {who}" for who in ("python", "child", "descriptor")} <= set(heard)
