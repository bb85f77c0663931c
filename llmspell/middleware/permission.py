from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from llmspell.concurrency import Answer, settled
from llmspell.effects import Effect, Handler, Perform, Run
from llmspell.errors import PermissionDenied
from llmspell.events import Events
from llmspell.hooks import Hooks, tell
from llmspell.permissions import Grants, Need, Permissions
from llmspell.values import LuaFunction, Value

S = TypeVar("S")


class Permission:
    """Checks what an effect needs against the run's permissions, and asks a person for the rest."""

    name = "permissions"

    def wrap(self, handler: Handler, call: Perform, run: Run) -> Perform:
        needs = handler.needs
        if needs is None:
            return call
        permissions = run[Permissions]

        def permitted(effect: Effect) -> Answer[Value]:
            wanted = needs(effect)
            try:
                for by, need in wanted:
                    permissions.check(need, by=by)
            except PermissionDenied as error:
                if permissions.may_ask:
                    return asked(effect, wanted)
                _publish(effect, error)
                raise
            return call(effect)

        async def asked(effect: Effect, wanted: list[tuple[str, Need]]) -> Value:
            once = Grants()
            try:
                for by, need in wanted:
                    once = once.merged(await permissions.obtain(need, by=by))
            except PermissionDenied as error:
                _publish(effect, error)
                raise
            if once:
                effect.run = _OneEffect(run, permissions.plus(once))
            return await settled(call(effect))

        return _with_denial_hooks(permitted, run) if _hooked(run) else permitted


def _hooked(run: Run) -> bool:
    return "at" in run[Hooks].matching("permission.denied")


def _with_denial_hooks(permitted: Perform, run: Run) -> Perform:
    """Like `permitted`, but calls the `permission.denied` hooks."""

    async def reported(effect: Effect) -> Value:
        try:
            return await settled(permitted(effect))
        except PermissionDenied as error:
            if error.path is None:  # not reported by an inner effect already
                error.effect, error.path = effect.name, effect.path
                about = {"effect": effect.name, "message": error.message, **error.details}
                await tell(run[Hooks], effect.child("permission.denied", about))
            raise

    return reported


def _publish(effect: Effect, error: PermissionDenied) -> None:
    data = {"run": effect.run.id, "effect": effect.name, "message": error.message, **error.details}
    effect.run[Events].tell("permission.denied", data)


class _OneEffect:
    """A run as seen by one effect with additional grants, which its children do not have."""

    def __init__(self, run: Run, permissions: Permissions) -> None:
        self.id, self._run, self._permissions = run.id, run, permissions

    def __getitem__(self, service: type[S]) -> S:
        return cast("S", self._permissions) if service is Permissions else self._run[service]

    def perform(self, effect: Effect) -> Coroutine[Any, Any, Value]:
        effect.run = self._run
        return self._run.perform(effect)

    def count(self) -> None:
        self._run.count()

    def call(
        self, function: LuaFunction, args: list[Value], path: str
    ) -> Coroutine[Any, Any, Value]:
        return self._run.call(function, args, path)
