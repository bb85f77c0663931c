from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from llmspell.bridge import Bridge
from llmspell.effects import Effect
from llmspell.errors import InvalidArguments
from llmspell.hooks import DEFAULT_TIMEOUT, Halt, HookCall, HookResult, Hooks, Modify, Replace
from llmspell.values import LuaFunction, Value

bridge = Bridge("hook", __file__)


@bridge.effect(leaf=False)
def register(
    effect: Effect,
    point: str,
    function: LuaFunction,
    phase: Literal["before", "after", "error"] | None = None,
    priority: int = 0,
    name: str | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    required: bool = False,
) -> str:
    """Call a Lua function at a hook point; the hook's id."""

    async def run(call: HookCall) -> HookResult:
        answer = await call.effect.call(function, _context(call), run=effect.run)
        return _result(answer, call)

    id_ = name or f"hook-{effect.path}"
    try:
        effect.run[Hooks].register(
            point, run, phase=phase, priority=priority, id=id_, timeout=timeout, required=required
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


@bridge.effect("list", leaf=False)
def listing(effect: Effect, point: str | None = None) -> list[dict[str, Value]]:
    """The hooks, in the order in which they run; of one effect if given."""
    return [
        {
            "id": hook.id,
            "phase": hook.phase,
            "patterns": list(hook.patterns),
            "priority": hook.priority,
            "failures": hook.failures,
        }
        for hook in effect.run[Hooks].all()
        if point is None or hook.matches(point)
    ]


def _context(call: HookCall) -> dict[str, Value]:
    context: dict[str, Value] = {
        "phase": call.phase,
        "effect": call.effect.name,
        "path": call.effect.path,
        "args": call.effect.args,
        "result": call.result,
    }
    if call.error is not None:
        context["error"] = call.error.as_table()
    return context


def _result(answer: Value, call: HookCall) -> HookResult:
    """What a Lua hook's answer means: nil, a word, or a table with a `type`."""
    if isinstance(answer, str):
        answer = {"type": answer}
    if answer in (None, []):
        return None
    if not isinstance(answer, Mapping):
        raise TypeError(f"a hook returns nil, a word or a table, not {answer!r}")
    match answer.get("type"):
        case "continue":
            return None
        case "modify" | "modified":
            return Modify(_first(answer, "args", "result", "data"))
        case "replace" | "replaced":
            return Replace(_first(answer, "result", "data"))
        case "halt" | "cancel":
            reason = answer.get("reason", "no reason given")
            return Halt(str(reason))
        case other:
            raise TypeError(f"{other!r} is no result of a hook ({call.phase} {call.effect.name})")


def _first(answer: Mapping[str, Value], *names: str) -> Value:
    return next((answer[name] for name in names if name in answer), None)
