"""The pattern functions against plain Lua, with both matchers, and their bounds."""

from functools import cache
from random import Random

import pytest
from bare_state import BareState, run
from hypothesis import given, settings
from hypothesis import strategies as st
from library_cases import Plain, call, disagreements, states


@cache
def both():
    return Plain(), states()


def test_a_fixed_sample_agrees_with_plain_lua():
    rng = Random(2026)
    for _ in range(30):
        assert not disagreements([call(rng) for _ in range(200)], *both())


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False))
def test_generated_calls_agree_with_plain_lua(rng):
    assert not disagreements([call(rng) for _ in range(5)], *both())


def value(source, **config):
    outcome = BareState(seed=1, **config).run(source, seconds=10)
    assert outcome.kind == "value", outcome
    return outcome.text


@pytest.mark.parametrize(
    "pattern",
    [
        "%b()x",
        "(a*)%1b",
        "^%s*(.-)%s*$",
        "a-a-b",
        ("a?" * 20) + "b",
        "[^b]-b",
        ".-.-b",
        "%f[%w]%w+ %w+x",
        "(%a+)@(%a+)",
        "( +)(.-)x",
        "%((%a*)%)-x",
    ],
)
@pytest.mark.parametrize("function", ["find", "match", "gmatch", "gsub"])
def test_no_pattern_runs_away(pattern, function):
    outcome = run(
        f"""
        local arguments = {{gsub = ""}}
        for _, unit in ipairs{{"a", " ", "(", "a "}} do
          local s = unit:rep(100000) .. ("a "):rep(50000)
          local r = string.{function}(s, "{pattern}", arguments["{function}"])
          if type(r) == "function" then r() end
        end""",
        instructions=2e6,
        seconds=5,
    )
    assert outcome.kind in ("killed", "value")
    assert outcome.seconds < 3


@pytest.mark.parametrize(
    ("pattern", "subject"),
    [
        ("%S+", "('word '):rep(40000)"),
        ("[^\\n]+", "('a line of text\\n'):rep(10000)"),
        ("(.-)\\n", "('a line of text\\n'):rep(10000)"),
        ("([^,]*),?", "('field,'):rep(40000)"),
        ("%d+", "('12 ab '):rep(30000)"),
        ("(%a+)@(%a+)", "('some words and '):rep(3000)"),
        ("<b>(.-)</b>", "('some <b>bold</b> words '):rep(20)"),
        ("(%w+)%s*=%s*(%w+)", "('key = value ; '):rep(3000)"),
        ("%[([^%]]*)%]", "('see [1] and [the next] '):rep(8000)"),
        ("Chapter (%d+)%. [^\\n]*\\nEnd", "('Chapter 1. Of the loom and its flowers\\n'):rep(300)"),
    ],
)
def test_common_patterns_run_in_c_on_large_texts(pattern, subject):
    """The Lua matcher would need some 10 instructions a byte."""
    state = BareState(seed=1)
    outcome = state.run(f"local n = 0 for _ in ({subject}):gmatch('{pattern}') do n = n + 1 end")
    assert outcome.kind == "value"
    assert 50e6 - outcome.fuel < 5e6


def test_texts_are_trimmed_in_c():
    state = BareState(seed=1)
    outcome = state.run("local s = ('  a word '):rep(3000) return #s:match('^%s*(.-)%s*$')")
    assert outcome.text == "26997"
    assert 50e6 - outcome.fuel < 2e5


@pytest.mark.parametrize(
    ("pattern", "byte"), [("(%a+)@(%a+)", "a"), ("%s+,", " "), ("[^,]-,", "a"), ("()%w+%s", "7")]
)
def test_the_matcher_in_lua_looks_at_a_run_once(pattern, byte):
    """If a loop has to end where its run does. From each of n bytes it would take half an hour."""
    state = BareState(seed=1, matcher_steps=0)
    outcome = state.run(f"return (('{byte}'):rep(1e6) .. '.'):find('{pattern}')")
    assert outcome.text == "None"
    assert 50e6 - outcome.fuel < 1e6


def test_both_matchers_treat_large_texts_alike():
    source = """
        local s = ("key = value ; "):rep(3000)
        local n = 0
        for k, v in s:gmatch("(%w+)%s*=%s*(%w+)") do n = n + #k + #v end
        return n, (s:gsub("(%w+) = (%w+)", "%2=%1")):sub(1, 30), s:match(".*(k%w+)"), s:find("nothing$")"""
    assert (
        value(source) == value(source, matcher_steps=0) == value(source, matcher_steps=float("inf"))
    )


def test_a_search_for_a_large_text_in_a_larger_one():
    source = """
        local s = ("abcdefgh"):rep(100000)
        local needle = ("abcdefgh"):rep(400) .. "X"
        local found = s .. needle .. s
        return s:find(needle, 1, true), found:find(needle, 1, true)"""
    assert value(source) == "None, 800001, 803201"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ('s:find("%")', "malformed pattern (ends with '%')"),
        ('s:match("[a")', "malformed pattern (missing ']')"),
        ('s:find("(a")', "unfinished capture"),
        ('s:gsub("a", "%2")', "invalid capture index %2"),
        ('s:gsub("a", "%x")', "invalid use of '%' in replacement string"),
        ('s:gsub("a", function() return {} end)', "invalid replacement value (a table)"),
        ("s:find({})", "bad argument #1 to 'find' (string expected, got table)"),
        ("string.find(s, {})", "bad argument #2 to 'find' (string expected, got table)"),
        (
            's:gsub("a", true)',
            "bad argument #2 to 'gsub' (string/function/table expected, got boolean)",
        ),
        ("s:gmatch()", "bad argument #1 to 'gmatch' (string expected, got nil)"),
        ('s:find(("x"):rep(20000) .. "*")', "pattern too complex (more than 10000 bytes)"),
    ],
)
def test_errors_name_the_line_of_the_spell(call, message):
    outcome = run(f'local s = "aaa"\n\nlocal r = {call}\n')
    assert outcome.text.startswith(f"error: spell.lua:3: {message}")
