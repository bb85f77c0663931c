"""`Hook`: a class to subclass, for hooks that belong together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from llmspell.effects import Effect
from llmspell.hooks.registered_hook import HookCall, HookFunction
from llmspell.values import Value

if TYPE_CHECKING:
    from llmspell.hooks.results import HookResult


class Part(NamedTuple):
    """A method of a hook at its points: what is registered.

    Attributes:
        method: Its name.
        points: What `parse_point` takes; all of one phase.
        function: What to call.
        priority: Its own, in place of the hook's.
        only: Which effects at those points it is for; None is all.
    """

    method: str
    points: str | tuple[str, ...]
    function: HookFunction
    priority: float | None = None
    only: Callable[[Effect], bool] | None = None


class Hook:
    """Override what you need; the methods you leave alone are not registered and cost nothing.

        class Budget(Hook):
            priority = 10

            async def on_model_request(self, call):
                if self.spent > 100:
                    return Halt("that was enough for today")

        runtime.hooks.add(Budget())

    Attributes:
        id: For messages and listings; by default the name of the class.
        priority: Higher runs first.
        timeout: Seconds a method may take, if it awaits anything.
        required: A method's failure fails the effect.
    """

    id: str | None = None
    priority: float = 0
    timeout: float = 30.0
    required: bool = False

    async def on_agent_start(self, call: HookCall) -> HookResult:
        """Before `agent.run`."""

    async def on_agent_complete(self, call: HookCall) -> HookResult:
        """After `agent.run`; `call.result` is the answer."""

    async def on_agent_error(self, call: HookCall) -> HookResult:
        """When `agent.run` failed."""

    async def on_tool_execute(self, call: HookCall) -> HookResult:
        """Before `tool.call`; `call.effect.args` are the tool's name and arguments."""

    async def on_tool_result(self, call: HookCall) -> HookResult:
        """After `tool.call`."""

    async def on_tool_error(self, call: HookCall) -> HookResult:
        """When `tool.call` failed."""

    async def on_model_request(self, call: HookCall) -> HookResult:
        """Before `model.request`."""

    async def on_model_response(self, call: HookCall) -> HookResult:
        """After `model.request`."""

    async def on_model_error(self, call: HookCall) -> HookResult:
        """When `model.request` failed."""

    async def on_state_change(self, call: HookCall, old: Value, new: Value) -> HookResult:
        """After an effect that writes a key of the state, if that changed its value.

        `old` and `new` are what was read right before and after; None where there was nothing.
        """

    async def on_runtime_start(self, call: HookCall) -> HookResult:
        """When the runtime has started."""

    async def on_runtime_stop(self, call: HookCall) -> HookResult:
        """Before the runtime stops."""

    async def on_run_start(self, call: HookCall) -> HookResult:
        """Before a run."""

    async def on_run_end(self, call: HookCall) -> HookResult:
        """After a run, however it ended."""

    async def on_config_change(self, call: HookCall) -> HookResult:
        """Before changed settings are put to use."""

    async def on_limit_exceeded(self, call: HookCall) -> HookResult:
        """When a run went beyond a limit."""

    async def on_permission_denied(self, call: HookCall) -> HookResult:
        """When something was not permitted."""

    def parts(self) -> Iterator[Part]:
        """What there is to register: the methods that are overridden."""
        for method, point in _POINTS.items():
            if overrides(self, method, Hook):
                yield Part(method, point, getattr(self, method))
        if overrides(self, "on_state_change", Hook):
            watch = _StateChange(self)
            yield Part("on_state_change", "pre_state_update", watch.before)
            yield Part("on_state_change", "post_state_update", watch.after)


_POINTS = {
    "on_agent_start": "before:agent.run",
    "on_agent_complete": "after:agent.run",
    "on_agent_error": "error:agent.run",
    "on_tool_execute": "before:tool.call",
    "on_tool_result": "after:tool.call",
    "on_tool_error": "error:tool.call",
    "on_model_request": "before:model.request",
    "on_model_response": "after:model.request",
    "on_model_error": "error:model.request",
    "on_runtime_start": "runtime.start",
    "on_runtime_stop": "runtime.stop",
    "on_run_start": "run.start",
    "on_run_end": "run.end",
    "on_config_change": "config.change",
    "on_limit_exceeded": "limit.exceeded",
    "on_permission_denied": "permission.denied",
}


def overrides(hook: Hook, method: str, base: type[Hook]) -> bool:
    """Whether its class has a method of its own in place of what `base` has."""
    return getattr(type(hook), method) is not getattr(base, method)


class _StateChange:
    """Reads a key before and after it is written."""

    def __init__(self, hook: Hook) -> None:
        self._hook = hook

    async def before(self, call: HookCall) -> None:
        call.notes[self] = await self._read(call)

    async def after(self, call: HookCall) -> HookResult:
        old, new = call.notes.get(self), await self._read(call)
        if type(old) is type(new) and old == new:
            return None
        return await self._hook.on_state_change(call, old, new)

    async def _read(self, call: HookCall) -> Value:
        place = {
            name: call.effect.args[name] for name in ("key", "scope") if name in call.effect.args
        }
        return await call.effect.perform("state.get", **place)
