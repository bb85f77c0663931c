import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmspell.errors import ConfigError
from llmspell.parameters import Parameter
from llmspell.spell import parse_spell

TYPES = ["string", "integer", "number", "boolean", "list", "table"]


def parsed(front="", code="return 1", end="\n"):
    lines = ["--- /// spell", *(f"--- {line}" for line in front.splitlines()), "--- ///", code, ""]
    return parse_spell(end.join(lines).encode(), name="demo", file="demo.lua")


def refused(front):
    with pytest.raises(ConfigError) as caught:
        parsed(front)
    return caught.value


# Front matter


FRONT = """\
description = "Ask a panel."
[params]
question = { type = "string", help = "What to ask" }
rounds = { type = "integer", default = 1 }
[permissions]
net = ["api.example.com"]
[limits]
memory = 1000000
output = "64kB"
time = "500ms"
"""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_front_matter_is_read(end):
    spell = parsed(FRONT, end=end)
    assert (spell.name, spell.description) == ("demo", "Ask a panel.")
    assert spell.params["question"] == Parameter("question", "string", "What to ask")
    assert spell.params["rounds"] == Parameter("rounds", "integer", default=1, required=False)
    assert spell.permissions == {"net": ["api.example.com"]}
    assert spell.limits == {"memory": 1_000_000, "output": 64_000, "time": 0.5}
    assert spell.chunk_name == "@demo.lua"


@pytest.mark.parametrize(
    "source",
    [
        b"",
        b"return 1",
        b"local s = [[\n-- /// spell\n-- x = 1\n-- ///\n]]",
        b"---/// spells\n--- ///\n",
        b"local s = '--- /// spell'",
        b"\xff\xfe not text",
    ],
)
def test_it_is_optional(source):
    spell = parse_spell(source, name="demo", file="demo.lua")
    assert (spell.name, spell.description, spell.params) == ("demo", "", {})


@pytest.mark.parametrize(
    "source",
    [
        b"#!/usr/bin/env llmspell\n--- /// spell\n--- name = 'x'\n--- ///\nreturn 1\n",
        b"\xef\xbb\xbf--- /// spell\n---name = 'x'\n---///\nreturn 1\n",
        b"-- a comment\n---\t/// spell  \n-- name = 'x'\n---   ///  ",
        b"print(1)\n\n--- /// spell\nname = 'x'\n--- ///\nprint(2)\n--- ///\n",
        b"#!/usr/bin/env -S llmspell --x='\n--- /// spell\n--- name = 'x'\n--- ///\n",
        b"\xef\xbb\xbf#!/bin/llmspell \"[[\n--- /// spell\n--- name = 'x'\n--- ///\n",
        b"local s = 'it\\'s --[[ \\z\n  '\n--- /// spell\n--- name = 'x'\n--- ///\nprint ']]'",
        b"-- it's [[\n--[==[ ' ]] ]==]\n--- /// spell\n--- name = 'x'\n--- ///\n",
    ],
)
def test_ways_of_writing_it(source):
    assert parse_spell(source, name="demo", file="demo.lua").name == "x"


@pytest.mark.parametrize(
    "start",
    [
        b"local child = [[\n%s]]",
        b"f([==[\n]]\n%s]==])",
        b"--[[\n%s]]",
        b's = "\\\n%s"',
        b's = "\\z\n%s"',
    ],
    ids=["long", "longer", "comment", "quoted", "skipped"],
)
def test_that_of_a_spell_in_a_string_is_not_its_own(start):
    inner = b"--- /// spell\n--- name = 'inner'\n--- ///\n"
    if b'"' in start:
        inner = inner.replace(b"\n", b"\\\n")
    source = start.replace(b"%s", inner)
    assert parse_spell(source, name="demo", file="demo.lua").name == "demo"
    own = b"\n--- /// spell\n--- name = 'outer'\n--- ///\n"
    assert parse_spell(source + own, name="demo", file="demo.lua").name == "outer"


@pytest.mark.parametrize("part", [b'"', b"'\\\"", b"--[=[", b"[=", b'"\\z ', b"'\"\n", b"[=[\n"])
def test_it_is_found_in_one_pass(part):
    before = time.process_time()
    parse_spell(part * 200_000 + b"\n--- /// spel\n", name="demo", file="demo.lua")
    read = time.process_time() - before
    with suppress(ConfigError):
        parse_spell(part * 200_000 + b"\n--- /// spell\n", name="demo", file="demo.lua")
    assert time.process_time() - before - read < 3


@pytest.mark.parametrize(
    "start",
    [b"#!/usr/bin/env llmspell", b"\xef\xbb\xbf#!/bin/x", b"#[[ odd", b"\xef\xbb\xbf-- plain"],
)
def test_lines_count_as_in_the_file(start):
    source = parse_spell(start + b"\nreturn 1\n", name="d", file="d.lua").source
    assert source.startswith(b"--")
    assert source.splitlines()[1] == b"return 1"


@pytest.mark.parametrize(
    ("front", "said"),
    [
        ("descripton = 'x'", "'descripton'"),
        ("name = " + "[" * 5000, "nested too deeply (at line 2)"),
        ("name = " + "[" * 100 + "]" * 100, "name must be a string"),
        (
            "[params]\na = { type = 'list', default = " + "[" * 100 + "]" * 100 + "}",
            "params.a: its default cannot be used: the value is nested too deeply",
        ),
        ("description = 5", "description must be a string"),
        ("name = ['a']", "name must be a string"),
        ("params = 3", "params must be a table"),
        ("permissions = 'all'", "permissions must be a table"),
        ("limits = []", "limits must be a table"),
        ("[limits]\nmemori = 1", "limits.memori: no such limit"),
        ("[limits]\nmemory = '5 apples'", "limits.memory: must be a size above 0, such as"),
        ("[limits]\ntime = -1", "limits.time: must be a number of seconds above 0"),
        ("[limits]\neffects = true", "limits.effects: must be a whole number above 0"),
        ("[params]\na = { typ = 'string' }", "params.a: unknown key 'typ'"),
        ("[params]\n'a b' = 1", "params.a b: its name"),
        ("[params]\na = { type = 'str' }", "params.a: unknown type 'str'"),
        ("[params]\na = { type = ['string'] }", "params.a: unknown type"),
        ("[params]\na = { help = 5 }", "params.a: help"),
        ('name = "tea\\nforged"', "name must be one line without control characters"),
        ('name = "tea\\u001b[2K"', "name must be one line without control characters"),
        ("[params]\nhelp = 'x'", "params.help: --help shows the parameters"),
        (
            "[params]\nno_loud = 'x'\nloud = true",
            "params.no_loud: --no-loud is an option of loud already",
        ),
        ("[params]\na = { choices = 'abc' }", "choices a list"),
        (
            "[params]\na = { type = 'integer', default = 'x' }",
            "params.a: its default must be an integer",
        ),
        ("[params]\na = { type = 'integer', default = 1.5 }", "params.a: its default"),
        ("[params]\na = { default = 1, choices = [2, 3] }", "its default must be one of 2, 3"),
        ("[params]\na = { type = 'integer', choices = [1, 'x'] }", "params.a: must be an integer"),
    ],
)
def test_what_is_wrong_in_it_is_named(front, said):
    error = refused(front)
    assert said in error.message
    assert error.message.startswith("demo.lua: front matter")
    assert error.exit_code == 2


def test_every_wrong_key_is_named():
    assert len(refused("a = 1\nb = 2\nparams = 3").problems) == 3
    assert len(refused("[limits]\na = 1\nmemory = 0").problems) == 2


def test_toml_errors_have_the_line_of_the_file():
    for wrong in (b"b ==", b"b = " + b"[" * 5000):
        source = b"-- one\n--- /// spell\n--- a = 1\n--- " + wrong + b"\n--- ///\n"
        with pytest.raises(ConfigError, match="line 4") as caught:
            parse_spell(source, name="d", file="d.lua")
        assert caught.value.where == "d.lua:4"


@pytest.mark.parametrize("rest", [b"", b"--- name = 'x'\nreturn 1\n"])
def test_a_block_without_an_end_is_told(rest):
    with pytest.raises(ConfigError, match=r"--- ///.*missing"):
        parse_spell(b"--- /// spell\n" + rest, name="d", file="d.lua")


@pytest.mark.parametrize(
    "line", [b"-- /// spell", b"--- /// Spell\r", b"----///spell", b"--///spell "]
)
def test_a_block_that_begins_nearly_right_is_told(line):
    with pytest.raises(ConfigError, match="has to be `--- /// spell`"):
        parse_spell(b"-- a\n" + line + b"\n-- x = 1\n", name="d", file="d.lua")


@given(st.binary(max_size=100), st.booleans())
def test_any_bytes_are_a_spell_or_a_config_error(data, framed):
    source = b"--- /// spell\n" + data + b"\n--- ///\n" if framed else data
    try:
        spell = parse_spell(source, name="d", file="d.lua")
    except ConfigError as error:
        assert error.message.startswith("d.lua: ")  # noqa: PT017 - some bytes are fine
    else:
        assert source.removeprefix(b"\xef\xbb\xbf") in (spell.source, spell.source[2:])


toml_text = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=8)
entries = st.one_of(
    st.integers(-9, 9),
    st.booleans(),
    st.just("'x'"),
    st.just("[1, 2]"),
    st.just("1.5"),
    st.just("2026-01-02"),
    st.just("{}"),
).map(lambda v: str(v).lower() if isinstance(v, bool) else str(v))


@given(
    st.dictionaries(
        st.sampled_from(["type", "help", "default", "choices", "x"]),
        entries | st.sampled_from([f"'{t}'" for t in TYPES]),
    )
)
def test_any_entry_of_params_is_read_or_refused(entry):
    table = ", ".join(f"{key} = {value}" for key, value in entry.items())
    try:
        spell = parsed(f"[params]\np = {{ {table} }}")
    except ConfigError as error:
        assert "params.p: " in error.message  # noqa: PT017 - some entries are fine
        return
    parameter = spell.params["p"]
    assert parameter.type in TYPES
    if not parameter.required:
        assert parameter.convert(parameter.default) == parameter.default


# Parameters


def test_a_default_alone_tells_the_type():
    front = "[params]\na = 'x'\nb = 1\nc = 1.5\nd = true\ne = [1]\nf = 2026-01-02\ng = { default = 1 }\nh = {}"
    params = parsed(front).params.values()
    assert [(p.type, p.default) for p in params] == [
        ("string", "x"),
        ("integer", 1),
        ("number", 1.5),
        ("boolean", True),
        ("list", [1]),
        ("string", "2026-01-02"),
        ("integer", 1),
        ("string", None),
    ]
    assert [p.required for p in params] == [False] * 7 + [True]


def test_defaults_have_their_type():
    params = parsed(
        "[params]\nn = { type = 'number', default = 1 }\nt = { type = 'table', default = { d = 2026-01-02 } }"
    ).params
    assert repr(params["n"].default) == "1.0"
    assert params["t"].default == {"d": "2026-01-02"}


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("string", "5", "5"),
        ("string", "", ""),
        ("integer", "-5", -5),
        ("integer", 7, 7),
        ("number", "1.5", 1.5),
        ("number", "2", 2.0),
        ("number", 2, 2.0),
        ("boolean", "TRUE", True),
        ("boolean", "no", False),
        ("boolean", True, True),
        ("list", "a,b", ["a", "b"]),
        ("list", '["a", 1]', ["a", 1]),
        ("list", "5", ["5"]),
        ("list", "", []),
        ("list", '[""]', [""]),
        ("list", "a,", ["a", ""]),
        ("list", "true", ["true"]),
        ("integer", str(-(2**63)), -(2**63)),
        ("list", (1, 2), [1, 2]),
        ("table", '{"a": [1]}', {"a": [1]}),
        ("table", {"p": Path("/x")}, {"p": "/x"}),
    ],
)
def test_what_is_given_is_converted(kind, given, expected):
    value = Parameter("p", kind).convert(given)
    assert (value, type(value)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("string", 5),
        ("string", None),
        ("integer", "five"),
        ("integer", "1.5"),
        ("integer", 1.0),
        ("integer", True),
        ("integer", str(2**63)),
        ("integer", -(2**63) - 1),
        ("integer", "1" * 5000),
        ("number", "x"),
        ("number", False),
        ("boolean", "maybe"),
        ("boolean", 1),
        ("list", '{"a": 1}'),
        ("list", "[a, b]"),
        ("list", ' ["a"'),
        ("table", "a,b"),
        ("table", "[1]"),
        ("table", "[" * 100_000),
    ],
)
def test_what_does_not_fit_is_refused(kind, given):
    with pytest.raises(ValueError, match=kind):
        Parameter("p", kind).convert(given)


def test_what_is_not_plain_is_refused():
    with pytest.raises(ValueError, match="object"):
        Parameter("p", "list").convert([object()])


@given(
    st.sampled_from(TYPES),
    st.text(max_size=12)
    | st.integers()
    | st.none()
    | st.floats()
    | st.lists(st.integers(), max_size=2),
)
def test_converting_gives_the_type_or_a_value_error(kind, given):
    types = dict(zip(TYPES, (str, int, float, bool, list, dict), strict=True))
    try:
        value = Parameter("p", kind).convert(given)
    except (ValueError, OverflowError):
        return
    assert type(value) is types[kind]


def test_choices():
    parameter = Parameter("p", "integer", choices=(1, 2))
    assert parameter.convert("2") == 2
    with pytest.raises(ValueError, match="one of 1, 2"):
        parameter.convert(3)


def test_binding_fills_in_and_names_every_problem():
    spell = parsed(
        "[params]\nq = { type = 'string' }\nn = 1\nb = true\nbig = { type = 'number', default = 0 }"
    )
    assert spell.bind({"q": "x", "n": "2"}) == {"q": "x", "n": 2, "b": True, "big": 0.0}
    with pytest.raises(ConfigError) as caught:
        spell.bind({"n": "x", "b": "perhaps", "big": 10**400, "other": 1})
    problems = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 5
    for said in (
        "--q is required",
        "--n must be an integer",
        "--b must be a boolean",
        "--big",
        "'other'",
    ):
        assert said in problems
    assert caught.value.hint.startswith("takes q (string), n (integer, optional), b (boolean")


# What messages show of it


def test_the_line_of_a_place():
    spell = parse_spell(b"#!/usr/bin/env llmspell\n  return 1 -- \xff\n", name="d", file="d.lua")
    assert spell.line_at("d.lua:2") == "return 1 -- \ufffd"
    for elsewhere in (None, "d.lua", "e.lua:2", "d.lua:0", "d.lua:3", "d.lua:-1", "d.lua:two"):
        assert spell.line_at(elsewhere) == ""
