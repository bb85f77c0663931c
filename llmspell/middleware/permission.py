from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from llmspell.concurrency import Answer, settled
from llmspell.effects import Effect, Handler, Perform, Run
from llmspell.errors import PermissionDenied
from llmspell.permissions import Grants, Need, Permissions
from llmspell.values import LuaFunction, Value

S = TypeVar("S")


class Permission:
    """Judges what an effect needs by the run's permissions, and has somebody asked for the rest."""

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
            except PermissionDenied:
                if permissions.may_ask:
                    return asked(effect, wanted)
                raise
            return call(effect)

        async def asked(effect: Effect, wanted: list[tuple[str, Need]]) -> Value:
            once = Grants()
            for by, need in wanted:
                once = once.merged(await permissions.obtain(need, by=by))
            if once:
                effect.run = _OneEffect(run, permissions.plus(once))
            return await settled(call(effect))

        return permitted


class _OneEffect:
    """The run as one effect sees it that was granted something; its children see the run itself."""

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
