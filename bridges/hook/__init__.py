from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from llmspell.bridge import Bridge
from llmspell.effects import Effect
from llmspell.errors import InvalidArguments
from llmspell.hooks import (
    COOL_DOWN,
    MAX_FAILURES,
    TIMEOUT,
    Cache,
    Fork,
    Halt,
    HookCall,
    HookResult,
    Hooks,
    Modify,
    Redirect,
    Replace,
    Retry,
    Skip,
)
from llmspell.values import LuaFunction, Value

bridge = Bridge("hook", __file__)


@bridge.effect(leaf=False)
def register(
    effect: Effect,
    point: str,
    function: LuaFunction,
    phase: Literal["before", "after", "error", "at"] | None = None,
    priority: int = 0,
    name: str | None = None,
    timeout: float = TIMEOUT,
    required: bool = False,
    max_failures: int = MAX_FAILURES,
    cool_down: float = COOL_DOWN,
) -> str:
    """Call a Lua function at a hook point; the hook's id."""

    async def run(call: HookCall) -> HookResult:
        answer = await call.effect.call(function, *_seen(call), run=effect.run)
        return None if answer is None else _result(answer)

    id_ = name or f"hook-{effect.path}"
    try:
        effect.run[Hooks].register(
            point,
            run,
            phase=phase,
            priority=priority,
            id=id_,
            timeout=timeout,
            required=required,
            max_failures=max_failures,
            cool_down=cool_down,
        )
    except ValueError as error:
        raise InvalidArguments("Hook", [str(error)]) from error
    function.retain()
    return id_


@bridge.effect(leaf=False)
def remove(effect: Effect, id: str) -> bool:
    """Remove a hook of this run; whether it was there."""
    hooks = effect.run[Hooks]
    found = [hook for hook in hooks.own() if hook.id == id]
    for hook in found:
        hooks.remove(hook)
    return bool(found)


@bridge.effect("list", repeatable=True)
def listing(effect: Effect, point: str | None = None) -> list[dict[str, Value]]:
    """The hooks, in the order in which they run; of one effect or point if given."""
    return [
        {
            "id": hook.id,
            "phase": hook.phase,
            "patterns": list(hook.patterns),
            "priority": hook.priority,
            "required": hook.required,
            "calls": hook.calls,
            "failures": hook.failures,
            "circuit": hook.circuit.state,
        }
        for hook in effect.run[Hooks].all()
        if point is None or hook.matches(point)
    ]


def _seen(call: HookCall) -> list[Value]:
    """What hook.lua makes a table of: phase, effect, path, arguments; and the result or the error."""
    effect = call.effect
    seen = [call.phase, effect.name, effect.path, effect.args]
    if call.error is not None:
        seen.append(call.error.as_table())
    elif call.result is not None:
        seen.append(call.result)
    return seen


def _result(answer: Value) -> HookResult:
    """What a Lua hook's answer means: nil, a word, or a table with a `type`."""
    if isinstance(answer, str):
        answer = {"type": answer}
    if answer == []:
        return None
    if not isinstance(answer, Mapping):
        raise TypeError(f"a hook returns nil, a word or a table, not {answer!r}")
    make = _MAKERS.get(answer.get("type"))
    if make is None:
        raise ValueError(f"{answer.get('type')!r} is no result of a hook")
    return make(answer)


def _first(answer: Mapping[str, Value], *names: str) -> Value:
    return next((answer[name] for name in names if name in answer), None)


def _given(answer: Mapping[str, Value], *names: str) -> dict[str, Value]:
    return {name: answer[name] for name in names if name in answer}


def _redirect(answer: Mapping[str, Value]) -> Redirect:
    given = _given(answer, "effect", "tool", "model", "args")
    if given.get("args") == []:
        given["args"] = {}
    return Redirect(**given)


def _fork(entry: Value) -> tuple[str, Mapping[str, Value]]:
    """`{"state.set", {key = …}}`, or `{effect = "state.set", args = {key = …}}`."""
    if isinstance(entry, list):
        name, args = (*entry, None, None)[:2]
    elif isinstance(entry, Mapping):
        name, args = entry.get("effect"), entry.get("args")
    else:
        raise TypeError(f"fork: {entry!r} is no effect with its arguments")
    return name, args or {}


_MAKERS: dict[Value, Callable[[Mapping[str, Value]], HookResult]] = {
    "continue": lambda _: None,
    "modify": lambda answer: Modify(_first(answer, "args", "result", "data")),
    "replace": lambda answer: Replace(_first(answer, "result", "data")),
    "halt": lambda answer: Halt(str(answer.get("reason", "no reason given"))),
    "retry": lambda answer: Retry(**_given(answer, "delay", "attempts")),
    "redirect": _redirect,
    "skip": lambda _: Skip(),
    "cache": lambda answer: Cache(**_given(answer, "key", "ttl")),
    "fork": lambda answer: Fork(*map(_fork, answer.get("effects") or [])),
}
# What others of the family call them.
_MAKERS |= {
    "modified": _MAKERS["modify"],
    "replaced": _MAKERS["replace"],
    "cancel": _MAKERS["halt"],
    "skipped": _MAKERS["skip"],
}
