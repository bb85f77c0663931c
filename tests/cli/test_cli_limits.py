"""Limits by flags, files and front matter; and what a breach tells."""

import json

import pytest

from llmspell.limits import Limits, units

LOOP = "\nwhile true do\n  pcall(error, 'again')\nend\n"
BREACHES = {
    "memory": ("4MiB", "\nlocal t = {}\nfor i = 1, 1e9 do t[i] = i end\n", "memory limit exceeded"),
    "instructions": ("1_000_000", LOOP, "instruction limit exceeded"),
    "time": ("1s", LOOP, "time limit exceeded"),
    "effects": ("100", "\nwhile true do State.get('x') end\n", "too many effects"),
    "output": ("1kB", "\nwhile true do print('flood') end\n", "output limit exceeded"),
    "kept": ("1kB", "\nwhile true do Agent.create{} end\n", "too much kept by the host"),
}
SHOWN = {"memory": "4 MiB", "instructions": "1,000,000", "time": "1 s", "effects": "100"}
MORE = {"memory": "8MiB", "instructions": "2_000_000", "time": "2s", "effects": "200"}
SHOWN["output"] = SHOWN["kept"] = "1 kB"
MORE["output"] = MORE["kept"] = "2kB"


@pytest.fixture
def limits_of(llmspell):
    """The limits of a run with those options."""

    def limits(*words):
        done = llmspell("exec", "--json", *words, "return Config.limits")
        assert done.code == 0, done.err
        return json.loads(done.out)

    return limits


def test_flags_go_above_the_file_and_add_up(limits_of, write):
    write("llmspell.toml", '[limits]\nmemory = "32MB"\neffects = 50\noutput = 7\n')
    given = limits_of("--limit", "memory=128MiB", "--limit=time=2.5", "--limit", "effects=60")
    assert given["memory"] == 128 << 20
    assert (given["time"], given["effects"], given["output"]) == (2.5, 60, 7)
    assert given["message"] == Limits().message
    assert limits_of("--limit", "memory=1MB", "--limit", "memory=2MB")["memory"] == 2_000_000


def test_flags_stand_before_and_after_the_spell(llmspell, write):
    write("s.lua", "return Config.limits.effects .. ' ' .. Config.limits.output")
    done = llmspell("run", "--limit", "effects=5", "s.lua", "--limit", "output=6kB")
    assert done == (0, "5 6000\n", "")


@pytest.mark.parametrize(
    ("entry", "said", "hint"),
    [
        ("memori=1", "no limit named 'memori'", "did you mean memory?"),
        ("zzz=1", "no limit named 'zzz'", f"limits are {', '.join(units(Limits))}"),
        ("=1", "no limit named ''", f"limits are {', '.join(units(Limits))}"),
        ("memory", "memory has no value; write, for example, memory=64MiB", "--help"),
        ("memory=", "memory must be a size above 0, such as 64MiB, not ''", "--help"),
        ("memory=much", "memory must be a size above 0, such as 64MiB, not 'much'", "--help"),
        ("time=-1", "time must be a number of seconds above 0, such as 1m30s, not '-1'", "--help"),
        ("message=10", "message must be a size from 256 bytes, such as 64MiB, not '10'", "--help"),
        ("effects=1.5", "effects must be a whole number above 0", "--help"),
    ],
)
def test_what_is_no_limit(llmspell, entry, said, hint):
    done = llmspell("exec", "--limit", entry, "return 1")
    assert (done.code, done.out) == (2, "")
    first, second = done.err.splitlines()
    assert said in first
    assert hint in second


@pytest.mark.parametrize("name", BREACHES)
def test_a_breach_tells_which_how_much_where_and_what_to_do(llmspell, write, name):
    most, source, said = BREACHES[name]
    write("s.lua", source)
    done = llmspell(
        "run", "--limit", f"{name}={most}", "s.lua", "--limit=instructions=1_000_000_000"
    )
    if name == "instructions":
        done = llmspell("run", "--limit", f"{name}={most}", "s.lua")
    assert done.code == 4
    where, line, hint, way_back = done.err.splitlines()
    assert where[:15] in ("error: s.lua:2:", "error: s.lua:3:")
    assert where[15:] == f" {said} ({SHOWN[name]})"
    assert line.startswith("  | ")
    assert hint == (
        f"hint: raise it with --limit {name}={MORE[name]}, "
        f"or {name} under [limits] in llmspell.toml"
    )
    assert way_back.startswith("hint: continue with: llmspell resume ")


def test_what_the_front_matter_lowered_is_raised_there(llmspell, write):
    write("s.lua", BREACHES["effects"][1], front="[limits]\neffects = 100")
    done = llmspell("s.lua")
    assert done.code == 4
    assert "too many effects (100)" in done.err
    assert "\nhint: the front matter of s.lua sets it: raise effects there\n" in done.err
    # What it would raise stays as it is, and is the host's to raise.
    done = llmspell("--limit=effects=90", "s.lua")
    assert "too many effects (90)" in done.err
    assert "hint: raise it with --limit effects=180, " in done.err


@pytest.mark.parametrize(
    "source", ["State.set('a', ('x'):rep(20000))", "return ('x'):rep(20000)"], ids=["to", "result"]
)
def test_a_value_that_is_too_large_is_an_ordinary_error(llmspell, source):
    done = llmspell("exec", "--limit", "message=10kB", source)
    assert done.code == 1
    assert "value too large to pass to the host (limit message = 10000 bytes)" in done.err


def test_a_file_whose_limits_are_wrong(llmspell, write):
    file = write("llmspell.toml", '[limits]\nmemory = "64 apples"\neffects = 0\nmemori = 1\n')
    done = llmspell("exec", "return 1")
    assert done.code == 2
    assert done.err.startswith(f"error: {file}: limits.memory: must be a size above 0, such as")
    assert "limits.effects: must be a whole number above 0" in done.err
    assert "limits.memori is not a setting" in done.err


def test_front_matter_whose_limits_are_wrong(llmspell, write):
    write("s.lua", "return 1", front='[limits]\nmemori = "1MB"')
    done = llmspell("s.lua")
    assert done.code == 2
    assert "s.lua: front matter: limits.memori: no such limit" in done.err
    assert f"hint: limits are {', '.join(units())}" in done.err


@pytest.mark.parametrize("flag", ["--no-isolate", "--isolate"])
def test_an_error_too_large_for_a_message_is_told_by_its_beginning(llmspell, flag):
    done = llmspell("exec", flag, 'error("too much tea " .. ("x"):rep(17000000))')
    assert done.code == 1
    assert done.err.startswith("error: exec:1: too much tea xxx")
    assert len(done.err) < 200_000
    done = llmspell("exec", flag, "--limit", "message=300", 'error("tea " .. ("x"):rep(1000))')
    assert done.code == 1
    assert done.err.startswith("error: exec:1: tea xxx")
