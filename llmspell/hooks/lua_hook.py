"""Hooks that are functions of a spell: how they are called and how their results are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from llmspell.durations import seconds_in
from llmspell.effects import Run
from llmspell.hooks.hook_call import HookCall, SpellHook
from llmspell.hooks.results import (
    Cache,
    Fork,
    Halt,
    HookResult,
    Modify,
    Redirect,
    Replace,
    Retry,
    Skip,
)
from llmspell.values import LuaFunction, Value


class LuaHook(SpellHook):
    """A hook that calls a Lua function; `host.hook` creates it."""

    __slots__ = ("_function", "_run")

    def __init__(self, function: LuaFunction, run: Run) -> None:
        function.retain()
        self._function, self._run = function, run

    async def __call__(self, call: HookCall) -> HookResult:
        effect = call.effect
        seen = [call.phase, effect.name, call.path, effect.args]  # `host.hook` makes a table of it
        if call.error is not None:
            seen.append(call.error.as_table())
        elif call.result is not None:
            seen.append(call.result)
        # The run is the hook's: the effect may be one of a child run.
        answer = await self._run.call(self._function, seen, effect.path_of_call())
        return None if answer is None else _result(answer)


def _result(answer: Value) -> HookResult:
    """Return the result that a Lua hook's answer means: nil, a word, or a table with a `type`."""
    if isinstance(answer, str):
        answer = {"type": answer}
    if answer == []:
        return None
    if not isinstance(answer, Mapping):
        raise TypeError(f"a hook must return nil, a string or a table, not {answer!r}")
    make = _MAKERS.get(answer.get("type"))
    if make is None:
        raise ValueError(f"{answer.get('type')!r} is not a result of a hook")
    return make(answer)


def _first(answer: Mapping[str, Value], *names: str) -> Value:
    return next((answer[name] for name in names if name in answer), None)


def _given(answer: Mapping[str, Value], *names: str) -> dict[str, Value]:
    return {name: answer[name] for name in names if name in answer}


def _timed(answer: Mapping[str, Value], seconds: str, other: str) -> dict[str, Value]:
    """Like `_given`, for a name whose value is in seconds, or a duration such as "5m", and another."""
    given = _given(answer, seconds, other)
    if isinstance(duration := given.get(seconds), str):
        given[seconds] = seconds_in(duration)
    return given


def _redirect(answer: Mapping[str, Value]) -> Redirect:
    given = _given(answer, "effect", "tool", "model", "args")
    if given.get("args") == []:
        given["args"] = {}
    return Redirect(**given)


def _fork(entry: Value) -> tuple[str, Mapping[str, Value]]:
    """Parse `{"state.set", {key = …}}`, or `{effect = "state.set", args = {key = …}}`."""
    if isinstance(entry, list):
        name, args = (*entry, None, None)[:2]
    elif isinstance(entry, Mapping):
        name, args = entry.get("effect"), entry.get("args")
    else:
        raise TypeError(f"fork: {entry!r} is not an effect with its arguments")
    return name, args or {}


_MAKERS: dict[Value, Callable[[Mapping[str, Value]], HookResult]] = {
    "continue": lambda _: None,
    "modify": lambda answer: Modify(_first(answer, "args", "result", "data")),
    "replace": lambda answer: Replace(_first(answer, "result", "data")),
    "halt": lambda answer: Halt(str(answer.get("reason", "no reason given"))),
    "retry": lambda answer: Retry(**_timed(answer, "delay", "attempts")),
    "redirect": _redirect,
    "skip": lambda _: Skip(),
    "cache": lambda answer: Cache(**_timed(answer, "ttl", "key")),
    "fork": lambda answer: Fork(*map(_fork, answer.get("effects") or [])),
}
# Synonyms used by other implementations.
_MAKERS |= {
    "modified": _MAKERS["modify"],
    "replaced": _MAKERS["replace"],
    "cancel": _MAKERS["halt"],
    "skipped": _MAKERS["skip"],
}
