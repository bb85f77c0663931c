"""The engine: performs the effects of one run through the middleware chain."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from llmspell.bridge import Bridges
from llmspell.concurrency import Answer, settled
from llmspell.driver import Driver
from llmspell.effects import Effect, Perform
from llmspell.errors import InvalidArguments, LimitExceeded, LlmspellError, SpellRuntimeError
from llmspell.events import Events
from llmspell.events.lifecycle import publish_lifecycle
from llmspell.events.run_subscriptions import RunSubscriptions
from llmspell.hooks import Hooks, Life
from llmspell.journal.recording import Recording
from llmspell.journal.turns import Turns
from llmspell.kept import Kept
from llmspell.limits import Limits
from llmspell.lua import messages
from llmspell.lua.machine import Machine
from llmspell.middleware import Middleware, compose
from llmspell.misused_names import misuse_hint
from llmspell.run_output import RunOutput
from llmspell.spell import Spell
from llmspell.spending.account import Account
from llmspell.state.run_watches import RunWatches
from llmspell.tools.registry import Tools
from llmspell.values import LuaFunction, Value

S = TypeVar("S")


class Engine:
    """One run of one spell, which handlers see as `Run`. Not reusable.

    A chain is composed when an effect name first occurs, and again after hooks are added or
    removed.
    """

    def __init__(
        self,
        run_id: str,
        *,
        vm: Machine,
        bridges: Bridges,
        services: Mapping[type, Any],
        middleware: Sequence[Middleware],
        parent: Effect | None = None,
    ) -> None:
        """Set up the run; `parent` is the effect of another run that started this one, if any."""
        self.id = run_id
        self._vm = vm
        self._parent = parent
        self._under = f"{parent.path}/" if parent else ""
        self._services = services
        self._bridges = bridges
        self._middleware = middleware
        self._chains: dict[str, Perform] = {}
        self[Hooks].listen(self._hooks_changed)
        self._hooks_changed()
        self._effects = 0
        self._free_effects = 0 if parent else self[Limits].effects
        recording = self[Recording]
        # A leaf is not performed again on replay, so what it told a child spell need not be
        # recorded.
        apart = recording is None or (parent is not None and recording.is_of_leaf(parent.path))
        self._is_in_record = not apart
        turns = None if apart else partial(Turns, recording, self._under, self._end_opened)
        self._driver = Driver(
            vm,
            self._perform,
            limits=self[Limits],
            kept=self[Kept],
            output=self[RunOutput].print,
            turns=turns,
        )
        if recording and not parent:
            driver = self._driver
            recording.leaving, recording.may_leave = driver.is_leaving, driver.may_leave
            recording.leave, recording.stop = driver.leave, driver.stop

    async def execute(self, spell: Spell, params: dict[str, Value], arguments: list[str]) -> Value:
        """Run the spell and return its result.

        Raises:
            HookHalted: A hook at `run.start` stopped it.
            HookFailed: A required hook failed.
            Exception: What `Driver.run` raises.
        """
        about: dict[str, Value] = {"run": self.id, "spell": spell.name}
        is_part = self._parent is not None and self._is_in_record
        life = Life(self, f"{self._under}run", about, self._seen[1:], is_part=is_part)
        try:
            await life.started(params)
            result = await self._execute(spell, params, arguments)
        except BaseException as error:
            await self._tell_of_failure(life, error)
            raise
        finally:
            self._vm.close()
        await life.ended(result)
        return result

    async def _tell_of_failure(self, life: Life, error: BaseException) -> None:
        """Call hooks for the end of a run that failed or was cancelled.

        What a cancelled run had come to depends on its turns alone. How far the host had come after
        them depends on timing.
        """
        driver = self._driver
        if not isinstance(error, CancelledError):
            await life.failed(error)
        elif driver.came_to is None:
            if driver.has_begun or not self._parent:
                await life.failed(error)
        elif isinstance(driver.came_to, Exception):
            await life.failed(driver.came_to)
        else:
            from anyio import CancelScope

            with CancelScope(shield=True):
                await life.ended(driver.came_to[0])

    async def _execute(self, spell: Spell, params: dict[str, Value], arguments: list[str]) -> Value:
        main = messages.main(spell.chunk_name, spell.source, params, arguments)
        events = self[Events]
        try:
            about = {"run": self.id, "spell": spell.name}
            with publish_lifecycle(events, "run", about), self[Account].timed():
                return await self._driver.run(main, self._rest)
        except LlmspellError as error:
            # An error carries no line if all functions of its task ended in tail calls.
            error.where = error.where or spell.file
            error.source_line = error.source_line or spell.line_at(error.where)
            if isinstance(error, SpellRuntimeError):
                error.hint = misuse_hint(error, self[Tools], self._bridges)
            if isinstance(error, LimitExceeded):
                limit = {"limit": error.limit, "value": error.value, "where": error.where}
                events.tell("limit.exceeded", {"run": self.id, **limit})
            raise
        finally:
            for callers in self._calling:
                await callers.end()
            for service in list(self._services.values()):
                if end := getattr(service, "end_run", None):
                    await end(self)

    def __getitem__(self, service: type[S]) -> S:
        found: S = self._services[service]
        return found

    async def perform(self, effect: Effect) -> Value:
        self.count()
        return await settled((self._chains.get(effect.name) or self._chain(effect.name))(effect))

    def call(
        self, function: LuaFunction, args: list[Value], path: str
    ) -> Coroutine[Any, Any, Value]:
        own = path.removeprefix(self._under) if self._under else path
        return self._driver.call(function, args, own)

    @property
    def _calling(self) -> list[RunWatches | RunSubscriptions]:
        """The services in use that keep calling functions of the spell until the run ends."""
        return [
            self._services[kind]
            for kind in (RunWatches, RunSubscriptions)
            if kind in self._services
        ]

    def _end_opened(self, path: str) -> None:
        """End what the effect at a path has opened for the spell, which is not told of it."""
        for calling in self._calling:
            calling.end_opened_at(path)

    def _rest(self) -> Coroutine[Any, Any, None] | None:
        """Return a coroutine of what is left when the spell has returned, or None.

        The spell's functions can still be called meanwhile.
        """
        calling = [kind for kind in self._calling if kind.callers]
        return _finish(calling) if calling else None

    def _perform(self, name: str, args: Value, path: str) -> Answer[Value]:
        """Perform an effect for a task of the spell; the driver calls this."""
        if type(args) is not dict:
            if args:
                raise InvalidArguments(name, ["takes one table of named arguments"])
            args = {}
        self._effects = count = self._effects + 1  # `count`, inlined on the hot path
        if count > self._free_effects:
            self._judge_effects()
        try:
            chain = self._chains[name]
        except KeyError:
            chain = self._chain(name)
        effect = Effect(name, args, self._under + path, self)
        effect.seen = self._seen
        return chain(effect)

    def count(self) -> None:
        """Count one more effect of this run or its children. Raises LimitExceeded."""
        self._effects += 1
        if self._effects > self._free_effects:
            self._judge_effects()

    def _judge_effects(self) -> None:
        if self._effects > self[Limits].effects:
            raise LimitExceeded("too many effects", limit="effects", value=self[Limits].effects)
        if self._parent:
            self._parent.run.count()

    def _hooks_changed(self) -> None:
        """React to changed hooks of this run or an enclosing one.

        Of an enclosing run's hooks, a spell sees those that its parent effect saw.
        """
        self._chains.clear()
        seen = self[Hooks].seen
        around = self._parent.seen if self._parent else None
        self._seen = seen if around is None else (seen[0], *around)

    def _chain(self, name: str) -> Perform:
        chain = compose(self._middleware, self._bridges.handler(name), self)
        recording: Recording | None = self[Recording]
        if recording and (history := recording.history):
            chain = recording.calls.gated(chain, beyond=lambda: history.over)
        self._chains[name] = chain
        return chain


async def _finish(calling: list[RunWatches | RunSubscriptions]) -> None:
    for callers in calling:
        await callers.finish()
