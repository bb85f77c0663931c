"""`Test.run`: converts a Lua test's options for a run, and the run's outcome."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmspell.approvals import check_rules
from llmspell.bridge import Bridges
from llmspell.effects import Effect
from llmspell.errors import (
    ConfigError,
    InvalidArguments,
    LlmspellError,
    PermissionDenied,
    ProviderError,
    ReplayError,
    SpellFailed,
    ToolError,
    effect_error_from,
)
from llmspell.human import Approval, Decision, Question
from llmspell.limits import read_limits
from llmspell.permissions import Grants, Need, Permissions, flags
from llmspell.providers.messages import ModelRequest, ToolCall
from llmspell.providers.scripted import Said
from llmspell.spell import Spell, parse_spell
from llmspell.spell_lookup import find_file, named_spells, read_spell
from llmspell.testing.effect_recorder import EffectRecord, Fault
from llmspell.testing.lua_file_run import FileRun
from llmspell.testing.recorded_run import recorded
from llmspell.testing.spell_runs import SpellRun, run_spell
from llmspell.testing.test_doubles import PersonAnswer, ToolFunction
from llmspell.values import LuaFunction, Value, legible

_OF_FAULT = ("message", "code", "hint", "details", "retryable")
_NAME = re.compile(r"[\w./-]+")


async def run_from_lua(
    effect: Effect, file: FileRun, spell: str, options: Mapping[str, Any], *, catch: bool
) -> SpellRun:
    """Run a spell with the options of `Test.run`, in the project of the test file.

    Raises:
        PermissionDenied: The test grants more than the tests themselves were granted, or names a
            file they may not read.
        SpellFailed: The spell failed, and `catch` is not set.
    """
    given = {name: value for name, value in options.items() if value is not None}
    lower, problems = read_limits(given.pop("limits", {}))
    if problems:
        raise InvalidArguments("Test.run", problems)
    given["grants"] = _grants(effect, given.get("grants", {}))
    given["denied"] = effect.run[Permissions].denied
    given["script"] = _script(effect, given.get("script", []))
    given["tools"] = {n: _tool(effect, f) for n, f in given.get("tools", {}).items()}
    given["faults"] = _faults(effect, given.get("faults", {}))
    if "recorded" in given:
        record = file.file.parent / given.pop("recorded")
        _check_readable(effect, file, record)
        try:
            given["middleware"] = [recorded(record)]
        except ReplayError as error:  # would end the file's own run, rather than the test
            problem = f"recorded: {error.message}"
            raise InvalidArguments("Test.run", [problem], hint=error.hint) from error
    if "answers" in given:
        given["answers"] = _answers(effect, given["answers"])
    limits = file.project.settings.limits.lowered(lower)
    try:
        child = _find(effect, file, spell)
        options = {"catch": True, "project": file.project, "limits": limits, "isolate": None}
        run = await run_spell(child, **options, **given)
    except PermissionDenied:
        raise
    except LlmspellError as error:
        raise SpellFailed(spell, error) from error
    if run.error and not catch:
        raise SpellFailed(child.name, run.error) from run.error
    return run


def outcome(run: SpellRun) -> dict[str, Value]:
    """Return a run as a Lua test sees it."""
    scopes = {scope: run.state(scope) for scope in run.store.scopes() if scope}
    table: dict[str, Any] = {
        "printed": run.printed,
        "output": run.output,
        "requests": [request.as_plain() for request in run.requests],
        "remaining": run.model.remaining,
        "calls": [_call(done) for done in run.calls()],
        "effects": [{"path": d.path, "name": d.name, "args": d.args} for d in run.effects],
        "asked": [_question_table(asked) for asked in run.asked],
        "state": run.state(),
        "scopes": scopes,
        "result": run.result,
        "error": _error(run.error),
    }
    return {name: _without_functions(value) for name, value in table.items()}


def _find(effect: Effect, file: FileRun, spell: str) -> Spell:
    """Find the spell to run; it is untrusted if the tests are."""
    own, folder = file.spell.trusted, file.file.parent
    if not _NAME.fullmatch(spell):
        text = spell.encode()
        return parse_spell(text, name="spell", file="spell", folder=folder, trusted=own)
    beside = folder / spell
    path = find_file(str(beside) if beside.exists() else spell, file.project)
    if path not in named_spells(file.project).values():
        _check_readable(effect, file, path)
    child = read_spell(path, file.project)
    return replace(child, trusted=child.trusted and own)


def _check_readable(effect: Effect, file: FileRun, path: Path) -> None:
    """Check that tests may read a file.

    Files in the tests' own folder need no grant; for trusted tests, nor do those in the project.
    """
    place = path.resolve()
    folders = [file.file.parent, *([file.project.root] if file.spell.trusted else [])]
    if not any(place.is_relative_to(folder.resolve()) for folder in folders):
        effect.run[Permissions].check(Need("read", str(path)), by="Test.run")


def _grants(effect: Effect, lists: Mapping[Any, list[str]]) -> Grants:
    wanted = Grants.from_lists(lists).resolved()
    missing = wanted.beyond(effect.run[Permissions].granted)
    if missing:
        shown = " ".join(flags(missing))
        raise PermissionDenied(
            "Test.run grants more than the tests were granted",
            hint=f"run them with {shown}, or use a Test.folder",
        )
    return wanted


def _script(effect: Effect, script: Any) -> Any:
    if isinstance(script, LuaFunction):
        return _reply_of(effect, script)
    return (
        [_reply(effect, each) for each in (script if isinstance(script, list) else [script])]
        if script
        else []
    )


def _reply(effect: Effect, reply: Any) -> Any:
    return _reply_of(effect, reply) if isinstance(reply, LuaFunction) else _converted_reply(reply)


def _reply_of(effect: Effect, function: LuaFunction) -> Callable[[ModelRequest], Any]:
    async def reply(request: ModelRequest) -> Said:
        return _converted_reply(await effect.call(function, request.as_plain()))

    return reply


def _converted_reply(reply: Any) -> Said:
    """Convert a reply: text; a table with `text`, `tool_calls` or `error`; or other data, as JSON."""
    if not isinstance(reply, dict) or not reply.keys() & {"text", "tool_calls", "error"}:
        return reply if isinstance(reply, str) else json.dumps(legible(reply), ensure_ascii=False)
    if "error" in reply:
        retryable, status = bool(reply.get("retryable")), reply.get("status")
        return ProviderError(str(reply["error"]), status=status, retryable=retryable)
    calls = reply.get("tool_calls", [])
    said = [_call_of_model(call) for call in (calls if isinstance(calls, list) else [calls])]
    return [*([str(reply["text"])] if "text" in reply else []), *said]


def _call_of_model(call: Any) -> ToolCall:
    table = call if isinstance(call, dict) else {}
    name, arguments = table.get("name"), table.get("arguments") or {}
    if not isinstance(name, str) or not isinstance(arguments, dict):
        problem = "script: tool_calls is a list of calls: {name = …, arguments = {…}}"
        raise InvalidArguments("Test.run", [problem], hint="write Test.call(NAME, ARGUMENTS)")
    return ToolCall(str(table.get("id", "")), name, arguments)


def _tool(effect: Effect, function: Any) -> ToolFunction:
    """Convert a tool stub: a function, or a constant result."""
    if not isinstance(function, LuaFunction):
        return lambda _: function
    return lambda args: effect.call(function, args)


def _faults(effect: Effect, faults: Mapping[str, Any]) -> list[Fault]:
    try:
        check_rules(faults, effect.run[Bridges], "Test.run", "faults")
    except ConfigError as error:
        raise InvalidArguments("Test.run", error.problems, hint=error.hint) from None
    return [_fault(what, fault) for what, fault in faults.items()]


def _fault(what: str, fault: Any) -> Fault:
    """Convert a fault: `true`, a message, or {message, code, at} and other fields of an error."""
    table = {"message": fault}
    if isinstance(fault, dict):
        table = dict(fault)
    elif fault is True or fault == []:
        table = {}
    at, code = table.pop("at", []), table.get("code", ToolError.code)
    places = at if isinstance(at, list) else [at]
    table = {"message": f"the test makes {what} fail", "code": code, **table}
    problems = [f"{name} is not a field of a fault" for name in table if name not in _OF_FAULT]
    if not all(type(place) is int and place > 0 for place in places):
        problems.append("at: must be a number from 1 on, or a list of them")
    error = effect_error_from(table)
    if not isinstance(table["message"], str):
        problems.append("write true, a message, or a table such as {at = 3, message = …}")
    elif error is None:
        problems.append(f"no error has the code {code!r}")
    if error is None or problems:
        raise InvalidArguments("Test.run", [f"faults: {what}: {problem}" for problem in problems])
    return Fault(what, error, places)


def _answers(effect: Effect, answers: Any) -> Any:
    if isinstance(answers, LuaFunction):
        return _AnswerFunction(effect, answers)
    return [_person_answer(each) for each in (answers if isinstance(answers, list) else [answers])]


class _AnswerFunction:
    """Answers by calling a function of the test."""

    def __init__(self, effect: Effect, function: LuaFunction) -> None:
        self._effect, self._function = effect, function

    async def __call__(self, asked: Question | Approval) -> PersonAnswer:
        return _person_answer(await self._effect.call(self._function, _question_table(asked)))


def _person_answer(answer: Any) -> PersonAnswer:
    if isinstance(answer, dict):
        return Decision(
            bool(answer.get("approved")), answer.get("args"), str(answer.get("reason", ""))
        )
    return None if answer is None or isinstance(answer, float) else answer


def _call(done: EffectRecord) -> dict[str, Value]:
    call = {"name": done.args.get("name"), "args": done.args.get("args", {})}
    return call | {"result": done.result, "error": _error(done.error)}


def _question_table(asked: Question | Approval) -> dict[str, Value]:
    if isinstance(asked, Approval):
        return {"what": asked.what, "args": asked.args}
    return {"question": asked.text, "choices": list(asked.choices), "default": asked.default}


def _error(error: BaseException | None) -> dict[str, Value] | None:
    if error is None:
        return None
    if not isinstance(error, LlmspellError):
        return {"code": "internal", "message": str(error)}
    cause = getattr(error, "cause", None) or error
    table: dict[str, Value] = {"code": cause.code, "message": error.message}
    more = {"where": error.where, "hint": error.hint, "details": dict(cause.details) or None}
    return table | {name: value for name, value in more.items() if value is not None}


def _without_functions(value: Any) -> Value:
    """Remove functions from a value: those of the spell's Lua state cannot be used by the test."""
    if isinstance(value, dict):
        return {key: _without_functions(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_functions(item) for item in value]
    return repr(value) if isinstance(value, LuaFunction) else value
