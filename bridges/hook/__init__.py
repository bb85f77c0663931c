from __future__ import annotations

from typing import Literal

from llmspell.bridge import Bridge
from llmspell.config import HookSettings
from llmspell.effects import Effect
from llmspell.errors import ConfigError, InvalidArguments
from llmspell.hooks import COOL_DOWN, MAX_FAILURES, TIMEOUT, Hooks
from llmspell.hooks.configured import configured
from llmspell.hooks.lua_hook import LuaHook
from llmspell.hooks.points import read_point
from llmspell.kept import Kept, size_of
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
    """Register a Lua function at a hook point, and return a handle to remove it by."""
    handle = f"hook-{effect.path}"
    try:
        effect.run[Hooks].register(
            point,
            LuaHook(function, effect.run),
            phase=phase,
            priority=priority,
            id=name or handle,
            timeout=timeout,
            required=required,
            max_failures=max_failures,
            cool_down=cool_down,
            handle=handle,
        )
    except ValueError as error:
        raise InvalidArguments("Hook", [str(error)]) from error
    effect.run[Kept].keep((Hooks, handle), size_of([handle, point, name]))
    return handle


@bridge.effect(leaf=False)
def use(
    effect: Effect,
    hook: str,
    settings: dict[str, Value] | None = None,
    priority: int | None = None,
    name: str | None = None,
    required: bool | None = None,
) -> str:
    """Add a shipped hook to this run, and return a handle to remove it by."""
    entry = HookSettings(hook, priority=priority, required=required, settings=settings or {})
    try:
        (instance,) = configured([entry], "Hook.use")
    except ConfigError as error:
        raise InvalidArguments("Hook.use", error.problems, hint=error.hint) from error
    handle = f"{hook}-{effect.path}"
    instance.id = name or handle
    effect.run[Hooks].add(instance, handle=handle)
    effect.run[Kept].keep((Hooks, handle), size_of([handle, name, settings]))
    return handle


@bridge.effect(leaf=False)
def remove(effect: Effect, id: str) -> bool:
    """Remove the hook of this run with a handle; returns whether it existed."""
    hooks = effect.run[Hooks]
    matches = [hook for hook in hooks.own() if hook.handle == id]
    for hook in matches:
        hooks.remove(hook)
    return bool(matches)


@bridge.effect("list", repeatable=True)
def listing(effect: Effect, point: str | None = None) -> list[dict[str, Value]]:
    """The hooks in execution order; only those of an effect or point if it is given."""
    phase, names = read_point(point or "")
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
        if point is None or (phase in (None, hook.phase) and any(map(hook.matches, names)))
    ]
