from __future__ import annotations

from typing import Literal

from llmspell.bridge import Bridge
from llmspell.config import HookSettings
from llmspell.effects import Effect
from llmspell.errors import ConfigError, InvalidArguments
from llmspell.hooks import COOL_DOWN, MAX_FAILURES, TIMEOUT, Hooks
from llmspell.hooks.configured import configured
from llmspell.hooks.lua_hook import LuaHook
from llmspell.limits import NonNegativeSeconds, Seconds
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
    timeout: Seconds = TIMEOUT,
    required: bool = False,
    max_failures: int = MAX_FAILURES,
    cool_down: NonNegativeSeconds = COOL_DOWN,
) -> str:
    """Register a Lua function at a hook point, and return the hook's id."""
    id_ = name or f"hook-{effect.path}"
    try:
        effect.run[Hooks].register(
            point,
            LuaHook(function, effect.run),
            phase=phase,
            priority=priority,
            id=id_,
            timeout=timeout,
            required=required,
            max_failures=max_failures,
            cool_down=cool_down,
            by_spell=True,
        )
    except ValueError as error:
        raise InvalidArguments("Hook", [str(error)]) from error
    return id_


@bridge.effect(leaf=False)
def use(
    effect: Effect,
    hook: str,
    settings: dict[str, Value] | None = None,
    priority: int | None = None,
    name: str | None = None,
    required: bool | None = None,
) -> str:
    """Add a shipped hook to this run, and return its id."""
    entry = HookSettings(hook, priority=priority, required=required, settings=settings or {})
    try:
        (instance,) = configured([entry], "Hook.use")
    except ConfigError as error:
        raise InvalidArguments("Hook.use", error.problems, hint=error.hint) from error
    instance.id = name or f"{hook}-{effect.path}"
    effect.run[Hooks].add(instance, by_spell=True)
    return instance.id


@bridge.effect(leaf=False)
def remove(effect: Effect, id: str) -> bool:
    """Remove a hook of this run; returns whether it existed."""
    hooks = effect.run[Hooks]
    matches = [hook for hook in hooks.own() if id in (hook.id, getattr(hook.owner, "id", None))]
    for hook in matches:
        hooks.remove(hook)
    return bool(matches)


@bridge.effect("list", repeatable=True)
def listing(effect: Effect, point: str | None = None) -> list[dict[str, Value]]:
    """The hooks in execution order; only those of an effect or point if it is given."""
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
