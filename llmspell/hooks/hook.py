"""`Hook`, the base class for hooks that belong together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from llmspell.concurrency import Answer, settled
from llmspell.effect_patterns import SettingsPlace
from llmspell.effects import Effect
from llmspell.hooks.hook_call import HookCall, HookFunction
from llmspell.suggestions import similar
from llmspell.values import Value

if TYPE_CHECKING:
    from llmspell.hooks.results import HookResult


class Part(NamedTuple):
    """A method of a hook, to be registered at its points.

    Attributes:
        method: Its name.
        points: What `parse_point` takes; all of one phase.
        function: What to call.
        priority: Overrides the hook's priority.
        only: Selects among the effects at those points; None means all.
    """

    method: str
    points: str | tuple[str, ...]
    function: HookFunction
    priority: float | None = None
    only: Callable[[Effect], bool] | None = None


class Hook:
    """Base class of hooks: override what you need. Methods left alone are not registered.

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
        required: Whether a failure of a method fails the effect.
        place: Where the settings name it, if they do.
    """

    id: str | None = None
    priority: float = 0
    timeout: float = 30.0
    required: bool = False
    place: SettingsPlace | None = None

    async def on_agent_start(self, call: HookCall) -> HookResult:
        """Called before `agent.run`."""

    async def on_agent_complete(self, call: HookCall) -> HookResult:
        """Called after `agent.run`; `call.result` is the answer."""

    async def on_agent_error(self, call: HookCall) -> HookResult:
        """Called when `agent.run` has failed."""

    async def on_tool_execute(self, call: HookCall) -> HookResult:
        """Called before `tool.call`; `call.effect.args` are the tool's name and arguments."""

    async def on_tool_result(self, call: HookCall) -> HookResult:
        """Called after `tool.call`."""

    async def on_tool_error(self, call: HookCall) -> HookResult:
        """Called when `tool.call` has failed."""

    async def on_model_request(self, call: HookCall) -> HookResult:
        """Called before `model.request`."""

    async def on_model_response(self, call: HookCall) -> HookResult:
        """Called after `model.request`."""

    async def on_model_error(self, call: HookCall) -> HookResult:
        """Called when `model.request` has failed."""

    async def on_state_change(self, call: HookCall, old: Value, new: Value) -> HookResult:
        """Called after an effect that writes a key of the state, if the value has changed.

        `old` and `new` are the values read right before and after; None if the key was not set.
        """

    async def on_runtime_start(self, call: HookCall) -> HookResult:
        """Called when the runtime has started."""

    async def on_runtime_stop(self, call: HookCall) -> HookResult:
        """Called before the runtime stops."""

    async def on_run_start(self, call: HookCall) -> HookResult:
        """Called before a run."""

    async def on_run_end(self, call: HookCall) -> HookResult:
        """Called after a run, however it ended."""

    async def on_config_change(self, call: HookCall) -> HookResult:
        """Called before changed settings take effect."""

    async def on_limit_exceeded(self, call: HookCall) -> HookResult:
        """Called when a run has exceeded a limit."""

    async def on_permission_denied(self, call: HookCall) -> HookResult:
        """Called when a permission was denied."""

    def parts(self) -> Iterator[Part]:
        """Yield what to register: the methods that are overridden."""
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


def check_methods(hook: Hook) -> None:
    """Raise ValueError for a misspelt method, which would never be called."""
    kind = type(hook)
    unknown = [n for n in dir(kind) if n.startswith("on_") and n != "on_error"]
    for name in unknown:
        if not hasattr(Hook, name) and (meant := similar(name, [*_POINTS, "on_state_change"])):
            raise ValueError(f"{kind.__name__}.{name} is never called; did you mean {meant[0]}?")


def overrides(hook: Hook, method: str, base: type[Hook]) -> bool:
    """Return whether the hook's class overrides a method of `base`."""
    return getattr(type(hook), method) is not getattr(base, method)


class _StateChange:
    """Reads a key before and after it is written, to call `on_state_change`."""

    def __init__(self, hook: Hook) -> None:
        self._hook = hook

    async def before(self, call: HookCall) -> None:
        call.notes[self] = await self._read(call)

    async def after(self, call: HookCall) -> HookResult:
        old, new = call.notes.get(self), await self._read(call)
        if type(old) is type(new) and old == new:
            return None
        answer: Answer[HookResult] = self._hook.on_state_change(call, old, new)
        return await settled(answer)  # a subclass may have made it sync

    async def _read(self, call: HookCall) -> Value:
        place = {
            name: call.effect.args[name] for name in ("key", "scope") if name in call.effect.args
        }
        return await call.effect.perform("state.get", **place)
