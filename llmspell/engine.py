"""Performs the effects of one run, through the chain of middleware."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar, cast

from llmspell.bridge import Bridges
from llmspell.concurrency import Answer, settled
from llmspell.driver import Driver, Output
from llmspell.effects import Effect, Perform
from llmspell.errors import InvalidArguments, LimitExceeded
from llmspell.hooks import Hooks
from llmspell.limits import Limits
from llmspell.lua import messages
from llmspell.lua.vm import Vm
from llmspell.middleware import Middleware, compose
from llmspell.spell import Spell
from llmspell.values import LuaFunction, Value

S = TypeVar("S")


class Engine:
    """One run of one spell; what handlers see as `Run`. Use it once.

    A chain is composed at the first effect of its name, and again after a hook came or went.
    """

    def __init__(
        self,
        run_id: str,
        *,
        new_vm: Callable[[messages.Receiver], Vm],
        bridges: Bridges,
        services: Mapping[type, Any],
        middleware: Sequence[Middleware],
        output: Output,
    ) -> None:
        self.id = run_id
        self._services = services
        self._bridges = bridges
        self._middleware = middleware
        self._chains: dict[str, Perform] = {}
        self[Hooks].listen(self._chains.clear)
        self._effects = 0
        self._most_effects = self[Limits].effects
        self._driver = Driver(new_vm, self._perform, limits=self[Limits], output=output)

    async def execute(self, spell: Spell, params: dict[str, Value], arguments: list[str]) -> Value:
        """Run the spell; what it returns. See `Driver.run` for what it raises."""
        main = messages.main(spell.chunk_name, spell.source, params, arguments)
        return await self._driver.run(main)

    def __getitem__(self, service: type[S]) -> S:
        return cast("S", self._services[service])

    async def perform(self, effect: Effect) -> Value:
        return await settled(self._begin(effect))

    def call(
        self, function: LuaFunction, args: list[Value], path: str
    ) -> Coroutine[Any, Any, Value]:
        return self._driver.call(function, args, path)

    def _perform(self, name: str, args: Value, path: str) -> Answer[Value]:
        """What the driver asks for on behalf of a task of the spell."""
        if type(args) is not dict:
            if args:
                raise InvalidArguments(name, ["takes one table of named arguments"])
            args = {}
        return self._begin(Effect(name, args, path, self))

    def _begin(self, effect: Effect) -> Answer[Value]:
        self._effects += 1
        if self._effects > self._most_effects:
            raise LimitExceeded("too many effects", limit="effects", value=self._most_effects)
        chain = self._chains.get(effect.name)
        if chain is None:
            handler = self._bridges.handler(effect.name)
            chain = self._chains[effect.name] = compose(self._middleware, handler, self)
        return chain(effect)
