import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from plain_values import text, values

from llmspell.errors import (
    EffectError,
    LimitExceeded,
    PermissionDenied,
    SpellError,
    SpellRuntimeError,
    SpellSyntaxError,
    ToolError,
)
from llmspell.limits import Limits
from llmspell.lua.failures import callback_error, limit_error, spell_error
from llmspell.lua.messages import Failure
from llmspell.lua.vm import Kill

TRACEBACK = (
    "stack traceback:\n"
    "\t[C]: in function 'error'\n"
    "\ta.lua:3: in function 'inner'\n"
    "\t(...tail calls...)\n"
    "\t?: in main chunk\n"
    "\tb.lua:9: in local 'outer'"
)


def failed(value, text=None, *, traceback="", where=None, hint=None):
    return Failure(value, str(value) if text is None else text, traceback, where, hint)


def test_a_place_in_front_of_the_text_is_where_it_was():
    error = spell_error(
        failed("x", "lib/a.lua:12: boom: 5: x", traceback=TRACEBACK, where="b.lua:9")
    )
    assert type(error) is SpellRuntimeError
    assert (error.message, error.where) == ("boom: 5: x", "lib/a.lua:12")
    assert error.lua_traceback == "\ta.lua:3: in function 'inner'\n\tb.lua:9: in local 'outer'"
    assert (error.cause, error.exit_code) == (None, 1)


@pytest.mark.parametrize(
    ("text", "message", "where"),
    [
        ("boom", "boom", "b.lua:9"),
        ("", "", "b.lua:9"),
        ("a.lua: x", "a.lua: x", "b.lua:9"),
        ("a.lua:1:x", "a.lua:1:x", "b.lua:9"),
        ("two\na.lua:1: x", "two\na.lua:1: x", "b.lua:9"),
        ("a.lua:" + "9" * 5000 + ": x", "a.lua:" + "9" * 5000 + ": x", "b.lua:9"),
    ],
    ids=lambda value: value[:12],
)
def test_otherwise_it_is_where_the_kernel_says(text, message, where):
    error = spell_error(failed("x", text, where="b.lua:9"))
    assert (error.message, error.where) == (message, where)


def test_an_effects_error_is_the_cause():
    cause = PermissionDenied("may not read x", hint="--allow-read=x", details={"kind": "read"})
    error = spell_error(failed(cause.as_table(), "a.lua:3: may not read x"))
    assert type(error.cause) is PermissionDenied
    assert (error.message, error.where, error.hint) == ("may not read x", "a.lua:3", cause.hint)
    assert error.run_exit_code == 3
    assert error.value == cause.as_table()


def test_a_hint_of_the_kernel():
    assert spell_error(failed("x", hint="use Log")).hint == "use Log"


def test_a_syntax_error_has_file_and_line():
    table = {"code": "spell_syntax", "message": "dir/a.lua:7: unexpected symbol near 'x'"}
    error = spell_error(failed(table))
    assert type(error) is SpellSyntaxError
    assert (error.message, error.where, error.line) == (
        "unexpected symbol near 'x'",
        "dir/a.lua:7",
        7,
    )


@pytest.mark.parametrize(
    "message",
    [None, "no place", 5, ["list"], b"\xff", "a.lua:" + "9" * 5000 + ": x", {"a": 1}],
    ids=lambda value: str(value)[:12],
)
def test_a_spell_may_pretend_a_syntax_error(message):
    table = {"code": "spell_syntax"} | ({} if message is None else {"message": message})
    error = spell_error(failed(table, "shown"))
    assert isinstance(error, SpellError)
    assert isinstance(error.message, str)


@example({1: 2, "a": 3, b"\xff": 4}, "table: 1", "")
@given(values, text | st.just("table: 3"), text)
def test_whatever_was_raised_ends_the_run_well(value, shown, traceback):
    error = spell_error(failed(value, shown, traceback=traceback))
    assert isinstance(error, SpellError)
    assert isinstance(callback_error(failed(value, shown)), EffectError)


def test_the_error_of_a_callback():
    error = callback_error(
        failed(ToolError("broken", retryable=True).as_table(), "a.lua:1: broken")
    )
    assert type(error) is ToolError
    assert error.retryable
    error = callback_error(failed("boom", "a.lua:1: boom"))
    assert (type(error), error.message, error.where) == (EffectError, "boom", "a.lua:1")


def test_a_spells_own_error_keeps_what_it_says():
    own = {"code": "out_of_tea", "message": "no tea", "hint": "buy some", "details": {"left": 0}}
    error = callback_error(failed(own | {"retryable": True}, "table: 4", where="a.lua:1"))
    assert error.as_table() == own | {"retryable": True, "where": "a.lua:1"}
    for shown in ("table: 4", "a.lua:7: no tea (buy some)"):
        error = spell_error(failed(own, shown))
        assert (error.message, error.hint) == ("no tea", "buy some")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"message": "mine", "code": "own"}, "mine"),
        ({"b": 1, "a": [True]}, '{"a": [true], "b": 1}'),
        (["x"], '["x"]'),
    ],
)
def test_a_table_that_is_no_effects_error_shows_what_it_says(value, message):
    assert spell_error(failed(value, "table: 4")).message == message
    assert callback_error(failed(value, "table: 4")).message == message
    assert spell_error(failed(value, "said by __tostring")).message == "said by __tostring"


def test_a_kill_names_the_limit_and_its_value():
    error = limit_error(
        Kill("memory", "memory limit exceeded", "a.lua:4", ""), Limits(memory=1_000_000)
    )
    assert type(error) is LimitExceeded
    assert error.message == "memory limit exceeded (1 MB)"
    assert (error.limit, error.value, error.where) == ("memory", 1_000_000, "a.lua:4")
    assert "--limit memory=2MB" in error.hint


def test_a_kill_for_no_limit_is_the_spells_error():
    error = limit_error(Kill("kernel", "the kernel failed", None, ""), Limits())
    assert (type(error), error.message) == (SpellError, "the kernel failed")
