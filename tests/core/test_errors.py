import copy
import importlib
import pickle
import pkgutil
import re
import traceback
from pathlib import Path

import pytest

import llmspell
from llmspell import errors
from llmspell.cli.interrupt import ENDINGS
from llmspell.errors import (
    BudgetExceeded,
    ConfigError,
    EffectError,
    EffectTimeout,
    HookHalted,
    InvalidArguments,
    LimitExceeded,
    LlmspellError,
    NobodyToAsk,
    NotApproved,
    PermissionDenied,
    ProviderError,
    RunSuspended,
    SpellRuntimeError,
    SpellSyntaxError,
    ToolError,
    UnknownEffect,
    UnknownPrice,
    effect_error_from,
    error_classes,
)

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
_ROW = re.compile(r"^\| `(\w+)` \| `(\w+)` \| (\d+) \| (\S.*) \|$", re.MULTILINE)
_EXIT = re.compile(r"^\| (\d+) \| (\S.*) \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def tree():
    """The error classes of every module of llmspell; tests and users may have more."""
    for module in pkgutil.walk_packages(llmspell.__path__, "llmspell."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return [c for c in error_classes(LlmspellError) if c.__module__.startswith("llmspell.")]


# The tree and its page


def test_codes_are_unique_and_every_class_has_its_own(tree):
    codes = [cls.code for cls in tree]
    assert len(set(codes)) == len(codes)
    assert all("code" in vars(cls) for cls in tree)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


def test_the_page_and_the_tree_agree(tree):
    page = {(code, name, int(number)) for code, name, number, _ in _ROW.findall(PAGE.read_text())}
    assert page == {(cls.code, cls.__name__, cls.exit_code) for cls in tree}
    assert len(_ROW.findall(PAGE.read_text())) == len(tree)


def test_exit_codes_are_documented_each_with_one_meaning(tree):
    documented = [int(number) for number, _ in _EXIT.findall(PAGE.read_text())]
    assert len(set(documented)) == len(documented)
    signalled = {code for _, code in ENDINGS.values()}
    assert set(documented) == {0, *signalled, *(cls.exit_code for cls in tree)}


def test_what_lua_sees_fails_like_any_spell(tree):
    """An exit code other than 1 says what to do about it: give a grant, an answer, money, a price."""
    special = {cls for cls in tree if issubclass(cls, EffectError) and cls.exit_code != 1}
    assert special == {
        PermissionDenied,
        NotApproved,
        NobodyToAsk,
        BudgetExceeded,
        UnknownPrice,
    }


# What they hold


def test_an_error_reads_as_its_message():
    error = LlmspellError("it broke", hint="mend it", details={"n": 1}, where="a.lua:3")
    assert str(error) == error.message == "it broke"
    assert (error.hint, error.details, error.where) == ("mend it", {"n": 1}, "a.lua:3")
    assert (error.effect, error.path) == (None, None)
    assert LlmspellError("x").details == {}


def test_details_belong_to_one_error():
    LlmspellError("a").details["x"] = 1
    assert LlmspellError("b").details == {}


EXAMPLES = [
    UnknownEffect("tool", "reed_file", ["read_file", "write_file"]),
    UnknownEffect("tool", "x"),
    InvalidArguments("read_file", ["path is required", "n: too small"], hint="takes path"),
    PermissionDenied("no", hint="--allow-read=x", details={"kind": "read"}),
    HookHalted("guard", "not today"),
    EffectTimeout("slow", seconds=1.5),
    ToolError("broken", retryable=True),
    ProviderError("busy", status=429, retryable=True, details={"provider": "p"}),
    ProviderError("odd"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda e: e.code)
def test_an_error_survives_the_way_through_lua(error):
    again = effect_error_from(error.as_table())
    assert type(again) is type(error)
    assert str(again) == str(error)
    for name in ("message", "hint", "details", "retryable", "code", "exit_code"):
        assert getattr(again, name) == getattr(error, name)
    assert getattr(again, "status", None) == getattr(error, "status", None)


def test_every_effect_error_can_come_back(tree):
    for cls in tree:
        if issubclass(cls, EffectError):
            again = effect_error_from({"code": cls.code, "message": "m"})
            assert type(again) is cls
            assert (again.message, again.details, again.retryable) == ("m", {}, False)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        5,
        [],
        {},
        {"message": "m"},
        {"code": "tool_error"},
        {"code": "tool_error", "message": 5},
        {"code": "tool_error", "message": b"\xff"},
        {"code": "mine", "message": "m"},
        {"code": ["tool_error"], "message": "m"},
        {"code": "limit_exceeded", "message": "m"},
        {"code": "spell_runtime", "message": "m"},
        {"code": "error", "message": "m"},
    ],
    ids=repr,
)
def test_other_tables_are_no_effect_errors(value):
    assert effect_error_from(value) is None


def test_odd_fields_of_an_error_table_are_left_out():
    error = effect_error_from(
        {"code": "provider_error", "message": "m", "details": "d", "hint": 5, "retryable": "yes"}
    )
    assert (error.details, error.hint, error.retryable, error.status) == ({}, None, False, None)


def test_a_subclass_without_a_code_does_not_take_its_parents_place():
    class Special(ToolError):
        def __init__(self, needed):
            super().__init__(needed)
            self.needed = needed

    assert type(effect_error_from({"code": "tool_error", "message": "m"})) is ToolError
    assert Special("x").as_table()["code"] == "tool_error"


def test_a_table_leaves_out_what_is_not_known():
    assert ToolError("m").as_table() == {"code": "tool_error", "message": "m", "retryable": False}


def test_messages_hold_what_one_needs():
    assert "'read_file' or 'write_file'" in EXAMPLES[0].hint
    assert EXAMPLES[1].hint is None
    assert "path is required; n: too small" in EXAMPLES[2].message
    assert "guard" in EXAMPLES[4].message
    assert EXAMPLES[5].details == {"seconds": 1.5}
    assert EXAMPLES[7].details == {"provider": "p", "status": 429}
    assert ConfigError("llmspell.toml", ["a", "b"]).message == "llmspell.toml: a; b"


def test_a_limit_names_its_setting():
    error = LimitExceeded("too long", limit="time", value=10)
    assert (error.limit, error.value, error.exit_code) == ("time", 10, 4)
    assert "time" in error.hint
    assert not isinstance(error, EffectError)


def test_a_spells_error_takes_after_its_cause():
    cause = PermissionDenied("no", hint="--allow-read=x")
    error = SpellRuntimeError("no", cause=cause, where="a.lua:2")
    assert (error.hint, error.run_exit_code, error.where) == (cause.hint, 3, "a.lua:2")
    assert SpellRuntimeError("boom").run_exit_code == 1
    assert SpellRuntimeError("boom", hint="try this").hint == "try this"


def test_a_syntax_error_knows_its_line():
    error = SpellSyntaxError("unexpected", file="a.lua", line=7)
    assert (error.where, error.line, error.details) == ("a.lua:7", 7, {"line": 7})


def test_error_classes_come_parents_first():
    classes = list(error_classes(EffectError))
    assert classes[0] is EffectError
    assert all(classes.index(c.__mro__[1]) < classes.index(c) for c in classes[1:])
    assert errors.LimitExceeded not in classes


def test_a_traceback_shows_the_place_and_what_to_do():
    error = SpellRuntimeError("no", where="a.lua:3", cause=ToolError("no", hint="do it"))
    error.add_note("one more")
    shown = "".join(traceback.format_exception_only(error))
    assert shown.splitlines()[1:] == ["at a.lua:3", "hint: do it", "one more"]
    assert "\n" not in "".join(traceback.format_exception_only(ToolError("no"))).strip()


PICKLED = [
    SpellSyntaxError("unexpected", file="a.lua", line=7),
    SpellRuntimeError("no", value={"code": "x"}, cause=UnknownEffect("tool", "tee", ["tea"])),
    InvalidArguments("tea", ["cups: Field required"]),
    LimitExceeded("too much", limit="memory", value=64),
    ConfigError("llmspell.toml", ["limits: no"]),
    RunSuspended("asleep", reason="sleep", due=1.5),
    ProviderError("no", status=503),
    UnknownPrice("openai/new"),
]


@pytest.mark.parametrize("clone", [copy.copy, lambda e: pickle.loads(pickle.dumps(e))])
@pytest.mark.parametrize("error", PICKLED, ids=lambda error: error.code)
def test_an_error_can_be_copied_and_sent_to_another_process(error, clone):
    error.where, error.effect = "a.lua:3", "tool.call"
    error.add_note("one more")
    cloned = clone(error)
    assert type(cloned) is type(error)
    assert (str(cloned), cloned.args) == (str(error), error.args)
    assert repr(vars(cloned)) == repr(vars(error))
    assert cloned.__notes__ == error.__notes__
