"""The runtime: the façade for Python programs that embed llmspell, and for the command line."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from llmspell.active_runs import ActiveRuns
from llmspell.bridge import Bridge, Bridges
from llmspell.components import all_bridges, all_hooks, all_middleware, all_tools
from llmspell.config import Project, find_project
from llmspell.console import Console
from llmspell.errors import LimitExceeded, LlmspellError
from llmspell.events import Events
from llmspell.hooks import Hook, Hooks, tell_of_runtime
from llmspell.human import Person
from llmspell.limits import Budget, Limits
from llmspell.lua.image import build
from llmspell.middleware import Middleware
from llmspell.middleware.filtered import check_effects
from llmspell.middleware.function import MiddlewareFunction
from llmspell.middleware.lifecycle import open_middleware
from llmspell.middleware.trace import Observer, Observers
from llmspell.permissions import NOTHING, Grants
from llmspell.permissions.policy import Ask
from llmspell.providers.models import Models
from llmspell.providers.provider import Provider
from llmspell.run_config import HostOptions, RunConfig
from llmspell.run_output import Output, StandardOutput
from llmspell.runs import Runs
from llmspell.runtime_arguments import check_arguments
from llmspell.spell import Spell, parse_spell
from llmspell.spell_lookup import find_spell
from llmspell.spending.account import Account
from llmspell.spending.prices import Prices
from llmspell.spending.spent import Spending
from llmspell.state import Store
from llmspell.stores import Stores, is_in_memory
from llmspell.tools.registry import Tools
from llmspell.tools.tool import Tool
from llmspell.values import Value, plain

if TYPE_CHECKING:
    from llmspell.agents.capabilities import Capability, CapabilityTypes
    from llmspell.journal.journal import Journal
    from llmspell.journal.recording import Judge, Verdict
    from llmspell.plugins import Plugin
    from llmspell.providers.weights import Progress
    from llmspell.reruns import Rerun, Reruns

log = logging.getLogger("llmspell.models")

RELOADED = ("permissions", "approve", "limits", "budget", "isolate")
"""Settings that can change while a runtime is running."""


class Runtime:
    """Runs spells, any number of them concurrently in one event loop.

    Use it as an async context manager. Two runtimes in one process share nothing.

        async with Runtime(tools=[weather]) as runtime:
            result = await runtime.run("forecast.lua", params={"city": "Oslo"})

    Attributes:
        tools: The tool registry that all runs see.
        hooks: Hooks on the effects of all runs.
        events: The event bus, for the runtime's own events and those that spells publish.
        bridges: The bridges whose handlers perform effects.
        models: The models that runs can call.
        plugins: The plugins that were started, by name.
        spent: What the runs have spent on models so far, by model.
        spent_before: What resumed runs had already spent before this runtime resumed them.
    """

    def __init__(
        self,
        *,
        tools: Iterable[Tool | Any] = (),
        project: Project | None = None,
        model: str | None = None,
        grants: Grants | None = None,
        denied: Grants | None = None,
        ask: Ask | None = None,
        person: Person | None = None,
        approved: Iterable[str] = (),
        limits: Limits | Mapping[str, Any] | None = None,
        budget: Budget | Mapping[str, Any] | None = None,
        isolate: bool | None = None,
        store: Store | None = None,
        providers: Iterable[Provider] = (),
        bridges: Iterable[Bridge] = (),
        middleware: Iterable[Middleware | MiddlewareFunction] = (),
        plugins: Iterable[Plugin] = (),
        hooks: Iterable[Hook] = (),
        capabilities: Iterable[type[Capability]] = (),
        observers: Sequence[Observer] = (),
        record: bool | None = None,
        park: float | None = None,
        output: Output | None = None,
        console: Console | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Create a runtime. Arguments take precedence over the project's llmspell.toml.

        Args:
            tools: Tools, or typed functions to make tools from; each becomes a Lua global.
            project: The project; by default the one that contains the current folder.
            model: The model of agents that name none.
            grants: Permissions of spells in addition to what the project grants.
            denied: Permissions denied in addition to what the project denies. Overrides all grants.
            ask: Asks a person about permissions that are not granted; without it they are denied.
            person: Answers the questions of spells and approves effects; by default nobody does.
            approved: Effects approved in advance, such as `tool.call:send_mail`.
            limits: The limits of each run; or some of them by name, the others being the project's.
            budget: What each run may spend on models; or some of its amounts by name.
            isolate: Whether each spell runs in a process of its own; by default only spells that
                are not the user's own do.
            store: The backend of `State`. The caller has to close it.
            providers: Additional providers; they override known ones of the same name.
            bridges: Additional bridges.
            middleware: Additional middleware, each with a `before` or `after`, or async functions
                that take an effect and the next function of the chain.
            plugins: Plugins in addition to those the project enables. They must start.
            hooks: Hooks on the effects of all runs.
            capabilities: Capability classes that agents can be given, by their type.
            observers: Callbacks that observe every effect of every run.
            record: Whether runs are recorded in the project's `.llmspell/runs.db`. Defaults to the
                project's setting, which is on unless changed.
            park: Suspend a recorded run with `RunSuspended` when all of it sleeps for at least this
                many seconds; by default it sleeps.
            output: Receives each line a spell prints. An object with a `write` method receives the
                text as it is written, line ends included. Defaults to stdout.
            console: Where spells read lines from; by default stdin.
            progress: Called with the progress of downloading the embedded model.

        Raises:
            ConfigError: The settings or an argument are invalid.
            PluginError: A tool or bridge cannot be loaded.
        """
        check_arguments(locals())
        self.project = project or find_project()
        settings = self.project.settings
        self.tools = all_tools(self.project, tools)
        self.hooks = all_hooks(self.project, hooks)
        self.events = Events()
        self.models = Models(
            model or settings.model,
            settings.providers,
            os.environ,
            providers=providers,
            embedder=settings.embedder,
            progress=progress,
        )
        self._person = person
        self._given = HostOptions(
            grants or NOTHING,
            denied or NOTHING,
            ask,
            tuple(approved),
            limits,
            budget,
            isolate,
            model,
            store is not None and is_in_memory(store),
        )
        self.bridges = all_bridges(bridges)
        self._run_config = RunConfig(self._given, self.project, self.models, self.bridges)
        self._middleware = all_middleware(self.project, middleware)
        self._given_plugins = tuple(plugins)
        self.plugins: dict[str, Plugin] = {}
        self._record = settings.journal.record if record is None else record
        self._park = park
        self._journal: Journal | None = None
        self._begun_runs: Runs | None = None
        self._active = ActiveRuns()
        self._entered = False
        self._reloading = asyncio.Lock()
        self._reloader: asyncio.Task[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._output = StandardOutput() if output is None else output
        account = Account(Budget(), "all runs")
        self.spent: Spending = account.spent
        self._before = Account(Budget(), "runs before they were resumed")
        self.spent_before: Spending = self._before.spent
        self._shared: dict[type, Any] = {
            Account: account,
            Bridges: self.bridges,
            Console: console or Console(),
            Events: self.events,
            Hooks: self.hooks,
            Models: self.models,
            Observers: Observers(observers),
            Prices: Prices(settings.prices, settings.providers),
            Project: self.project,
            Tools: self.tools,
        }
        for kind in capabilities:
            self.capabilities.add(kind)
        self._stores = Stores(self.project, store)
        self._cleanup = AsyncExitStack()

    @property
    def capabilities(self) -> CapabilityTypes:
        """The registry of capability types that agents can be given."""
        from llmspell.agents.capabilities import CapabilityTypes

        if CapabilityTypes not in self._shared:
            self._shared[CapabilityTypes] = CapabilityTypes()
        types: CapabilityTypes = self._shared[CapabilityTypes]
        return types

    @property
    def middleware(self) -> tuple[Middleware, ...]:
        """The middleware that effects pass through, outermost first."""
        return self._middleware

    @property
    def records(self) -> bool:
        """Whether runs are recorded."""
        return self._record

    async def __aenter__(self) -> Self:
        if self._entered:
            raise LlmspellError("a runtime can be started only once", hint="create another one")
        self._loop = _event_loop()
        self._entered = True
        async with AsyncExitStack() as cleanup:
            cleanup.push_async_callback(self.events.close)
            open_middleware(self._middleware, self, cleanup)
            await self._start_plugins(cleanup)
            cleanup.push_async_callback(self.models.close)
            cleanup.push_async_callback(self._stores.close)
            cleanup.callback(self._close_journal)
            self.check()
            self._begun_runs = runs = self._create_runs()
            cleanup.push_async_callback(runs.close)
            await self._run_hooks("runtime.start")
            self._cleanup = cleanup.pop_all()
        self.events.tell("runtime.started", None)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._begun_runs = None
        try:
            await self._active.stop()
            await self._run_hooks("runtime.stop")
        finally:
            self.events.tell("runtime.stopped", None)
            await self._cleanup.__aexit__(kind, error, traceback)

    def check(self) -> None:
        """Check the names of effects, models and stores, and from now on those of new hooks.

        The runtime does this when it starts, once its plugins have added theirs.

        Raises:
            ConfigError: Something has a name that does not exist, so it would never be used.
        """
        self._stores.check()
        self.hooks.close_points(self.bridges.check_pattern)
        check_effects(self._middleware, self.bridges.check_pattern)
        self._run_config.check()

    async def run(
        self,
        spell: str | Path | Spell,
        *,
        params: Mapping[str, Value] | None = None,
        arguments: Sequence[str] = (),
        output: Output | None = None,
        begun: Callable[[str], None] = lambda _: None,
    ) -> Value:
        """Run a spell and return its result.

        Args:
            spell: A path, a name, or a parsed spell.
            params: The spell's parameters.
            arguments: The values of `arg` and `...` in the spell.
            output: Receives what the spell prints; by default the runtime's output does.
            begun: Called with the run's id before the run does anything.

        Raises:
            SpellError: The spell was not found, does not compile, or did not catch an error.
            ConfigError: The front matter or a parameter is invalid.
            LimitExceeded: The run exceeded a limit.
            RunSuspended: The run suspended itself and can be resumed.
        """
        if not isinstance(spell, Spell):
            spell = find_spell(str(spell), self.project)
        launch = await self._run_config.launch(spell, params or {}, arguments)
        run = self._runs.run(launch, self._output_or(output), begun)
        return await self._with_limit_hint(spell, run)

    async def resume(
        self,
        run: str,
        *,
        unfinished: Verdict | Judge = "fail",
        output: Output | None = None,
        begun: Callable[[str], None] = lambda _: None,
    ) -> Value:
        """Resume a run that stopped, and return its result.

        Recorded effects are answered from the journal; the run continues where the record ends. The
        current version of the spell is used, so code the run had not yet reached may have been
        edited.

        Args:
            run: The run's id, or a prefix of it.
            unfinished: What to do about an effect that was in progress when the run stopped and is
                not safe to repeat: perform it `again`, `skip` it with the result nil, or `fail`.
            output: Receives all that the spell prints, from the first line on; by default the
                runtime's output does.
            begun: Called with the run's id before the run does anything.

        Raises:
            RunNotFound: There is no such run.
            RunBusy: Another process is running it.
            JournalMismatch: The spell requested a different effect than the recorded one.
            UnfinishedEffect: An unfinished effect needs a decision before the run can be resumed.
            NotApproved, NobodyToAsk: The record was imported and contains the approval of an effect
                that is still to be performed, and nobody here has given that approval.
            Exception: What `run` raises.
        """
        rerun = await self._reruns.resume(run, unfinished)
        return await self._run_again(rerun, output, begun)

    async def fork(
        self,
        run: str,
        at: str,
        *,
        params: Mapping[str, Value] | None = None,
        models: Mapping[str, str] | None = None,
        spell: str | Path | Spell | None = None,
        output: Output | None = None,
        begun: Callable[[str], None] = lambda _: None,
    ) -> Value:
        """Start a new run that shares another run's record up to a step, and continue from there.

        Recorded effects are not performed again, so whatever is changed, the spell has to request
        the same effects up to that step. The original run is unchanged.

        Args:
            run: The original run's id, or a prefix of it.
            at: The path of the effect before which the runs diverge. For a composite effect, that
                is the first effect performed on its behalf.
            params: Parameters to change.
            models: Models to substitute from there on: the original name to the new one.
            spell: The spell to continue with instead of the recorded run's file.
            output: Receives all that the spell prints, from the first line on; by default the
                runtime's output does.
            begun: Called with the new run's id before the run does anything.

        Raises:
            RunNotFound: There is no such run.
            ReplayError: Nothing was recorded at that path, or a tool is missing.
            InvalidArguments: A model name is invalid.
            Exception: What `resume` raises.
        """
        if spell is not None and not isinstance(spell, Spell):
            spell = find_spell(str(spell), self.project)
        replaced = models or {}
        rerun = await self._reruns.fork(run, at, params=params, models=replaced, spell=spell)
        result = await self._run_again(rerun, output, begun)
        for model in replaced.keys() - rerun.launch.models.used:
            log.warning("%s was not asked after %s, so nothing replaced it", model, at)
        return result

    async def replay(
        self, run: str, *, until: str | None = None, output: Output | None = None
    ) -> Value:
        """Replay a run without touching anything outside, and return what it returned.

        Args:
            run: The run's id, or a prefix of it.
            until: The path of an effect before which to stop by raising `RunSuspended`; one that is
                made of others stops before the first of them.
            output: Receives what the spell prints; by default the runtime's output does.

        Raises:
            RunNotFound: There is no such run.
            JournalMismatch: This version of llmspell behaves differently.
            JournalExhausted: The recorded run did not reach its end.
            ReplayError: Nothing was recorded at `until`.
            Exception: What the run raised.
        """
        recording, launch, tools = self._reruns.replay(run, until)
        done = self._runs.run_recorded(recording, launch, self._output_or(output), tools=tools)
        return await self._active.result_of(done)

    async def execute(
        self,
        source: str,
        *,
        name: str = "chunk",
        params: Mapping[str, Value] | None = None,
        arguments: Sequence[str] = (),
        output: Output | None = None,
        begun: Callable[[str], None] = lambda _: None,
    ) -> Value:
        """Run a spell given as source text, called `name` in errors, and return its result.

        Parameters have to be declared in its front matter. The rest is as for `run`.
        """
        spell = parse_spell(source.encode(), name=name, file=name)
        return await self.run(spell, params=params, arguments=arguments, output=output, begun=begun)

    async def reload(self) -> list[str]:
        """Reload the project's settings and return the names of those that changed and took effect.

        New runs use the new permissions, approvals, limits, budget and `isolate`; other settings
        remain as they were at startup. Hooks at `config.change` run before the change. Concurrent
        calls take turns.

        Raises:
            ConfigError: The settings are invalid. The old ones remain in effect.
            HookHalted: A hook refused the change.
            HookFailed: A required hook failed.
        """
        if self._reloader is not None and self._reloader is asyncio.current_task():
            raise LlmspellError("a hook at config.change cannot reload the settings itself")
        async with self._reloading:
            self._reloader = asyncio.current_task()
            try:
                return await self._reload()
            finally:
                self._reloader = None

    async def _reload(self) -> list[str]:
        old, new = self.project.settings, find_project(self.project.root).settings
        changed = [name for name in RELOADED if getattr(new, name) != getattr(old, name)]
        if changed:
            used: dict[str, Any] = {name: getattr(new, name) for name in changed}
            project = replace(self.project, settings=replace(old, **used))
            run_config = RunConfig(self._given, project, self.models, self.bridges)
            run_config.check()
            about = {
                n: {"old": plain(getattr(old, n)), "new": plain(getattr(new, n))} for n in changed
            }
            await self._run_hooks("config.change", changed=about)
            self.project = self._shared[Project] = project
            self._run_config = run_config
        return changed

    @property
    def _runs(self) -> Runs:
        if self._begun_runs is None:
            when = (
                "after the runtime has stopped"
                if self._entered
                else "before the runtime has started"
            )
            raise LlmspellError(
                f"no spell can run {when}",
                hint="use it within: async with Runtime(…) as runtime",
            )
        if _event_loop() is not self._loop:
            raise LlmspellError(
                "a runtime runs spells only in the event loop in which it was started",
                hint="from another thread, use asyncio.run_coroutine_threadsafe(…, loop)",
            )
        return self._begun_runs

    @property
    def _reruns(self) -> Reruns:
        from llmspell.reruns import Reruns

        return Reruns(
            self._runs,
            self._open_journal(),
            self._run_config,
            self.project,
            self.tools,
            self._person,
        )

    async def _run_again(
        self, rerun: Rerun, output: Output | None, begun: Callable[[str], None]
    ) -> Value:
        recording, launch, _ = rerun
        done = self._runs.run_recorded(recording, launch, self._output_or(output), begun)
        return await self._with_limit_hint(launch.spell, done)

    def _output_or(self, given: Output | None) -> Output:
        return self._output if given is None else given

    async def _with_limit_hint(self, spell: Spell, run: Coroutine[Any, Any, Value]) -> Value:
        """Await a run. If it exceeds a limit, make the error's hint say what set that limit."""
        try:
            return await self._active.result_of(run)
        except LimitExceeded as error:
            self._run_config.explain(error, spell)
            raise

    async def _run_hooks(self, point: str, **args: Value) -> None:
        """Run the hooks at a point of the runtime's life cycle."""
        await tell_of_runtime(self.hooks, point, args, self.events)

    def _create_runs(self) -> Runs:
        return Runs(
            self._shared,
            image=build(self.bridges.lua()),
            bridges=self.bridges,
            middleware=self._middleware,
            modules=self.project.root / "lua_modules",
            open_store=self._stores.open,
            person=self._person,
            open_journal=self._open_journal if self._record else None,
            before=self._before,
            park=self._park,
        )

    async def _start_plugins(self, cleanup: AsyncExitStack) -> None:
        if self._given_plugins or self.project.settings.plugins:
            from llmspell.plugins.lifecycle import start_plugins
            from llmspell.plugins.registration import Registries

            registries = Registries(
                self.tools,
                self.hooks,
                lambda: self.capabilities,
                self.models,
                self.bridges,
                self._stores.makers,
                self._middleware,
            )
            self.plugins = await start_plugins(self, registries, self._given_plugins, cleanup)
            self._middleware = registries.middleware

    def _open_journal(self) -> Journal:
        if self._journal is None:
            from llmspell.project_journal import open_journal

            self._journal = open_journal(self.project)
        return self._journal

    def _close_journal(self) -> None:
        if self._journal is not None:
            self._journal.close()


def _event_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError as error:
        hint = "start it with asyncio.run(…), in a thread of its own if need be"
        raise LlmspellError("a runtime needs an event loop of asyncio", hint=hint) from error
