from __future__ import annotations

import logging

from llmspell.concurrency import settled
from llmspell.effects import Effect, Handler, Perform, Run
from llmspell.errors import EffectError, HookFailed, HookHalted, LlmspellError
from llmspell.hooks import Halt, Hook, HookCall, HookResult, Hooks, Modify, Replace
from llmspell.values import Value

log = logging.getLogger("llmspell.hooks")


class Hooking:
    """Dispatches the hooks of an effect."""

    name = "hooks"

    def wrap(self, handler: Handler, call: Perform, run: Run) -> Perform:
        hooks = run[Hooks].matching(handler.name)
        if not hooks:
            return call
        before, after, on_error = (hooks.get(p, ()) for p in ("before", "after", "error"))

        async def hooked(effect: Effect) -> Value:
            try:
                replaced, result = await _before(before, effect, handler)
                if not replaced:
                    result = await settled(call(effect))
            except HookHalted:
                raise
            except EffectError as error:
                result = await _forgive(on_error, effect, error)
            return await _after(after, effect, result)

        return hooked


async def _before(hooks: tuple[Hook, ...], effect: Effect, handler: Handler) -> tuple[bool, Value]:
    """Run the hooks; whether one replaced the effect, and by which result."""
    for hook in hooks:
        match await _run(hook, HookCall("before", effect)):
            case Modify(value):
                effect.args = {} if value == [] else value
                effect.bound = handler.check(effect)
            case Replace(result):
                return True, result
    return False, None


async def _after(hooks: tuple[Hook, ...], effect: Effect, result: Value) -> Value:
    for hook in hooks:
        match await _run(hook, HookCall("after", effect, result=result)):
            case Modify(value) | Replace(value):
                result = value
    return result


async def _forgive(hooks: tuple[Hook, ...], effect: Effect, error: EffectError) -> Value:
    """The result a hook gives in place of the error, or the error."""
    for hook in hooks:
        match await _run(hook, HookCall("error", effect, error=error)):
            case Replace(value) | Modify(value):
                return value
    raise error


async def _run(hook: Hook, call: HookCall) -> HookResult:
    """What the hook says; a failing hook says nothing, unless it is required.

    Raises:
        HookHalted: When it says halt.
    """
    if hook.is_own(call.effect.path):
        return None
    from anyio import fail_after

    path = call.effect.path
    hook.active.add(path)
    try:
        with fail_after(hook.timeout):
            result = _checked(await settled(hook.function(call)))
    except EffectError as error:
        _report(hook, call, error)
        return None
    except LlmspellError:
        raise
    except Exception as error:  # noqa: BLE001 - a hook may raise anything
        _report(hook, call, error)
        return None
    finally:
        hook.active.discard(path)
    if isinstance(result, Halt):
        raise HookHalted(hook.id, result.reason)
    return result


def _checked(result: HookResult) -> HookResult:
    if result is None or isinstance(result, (Modify, Replace, Halt)):
        return result
    raise TypeError(f"a hook returns Modify, Replace, Halt or None, not {result!r}")


def _report(hook: Hook, call: HookCall, error: Exception) -> None:
    hook.failures += 1
    what = f"took more than {hook.timeout:g} seconds" if isinstance(error, TimeoutError) else error
    if where := getattr(error, "where", None):
        what = f"{where}: {what}"
    message = f"hook {hook.id!r} {call.phase} {call.effect.name} failed: {what}"
    if hook.required:
        raise HookFailed(message) from error
    log.warning(message)
