"""The façade: what a Python program that embeds llmspell uses, and the command line as well."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from llmspell.bridge import Bridge
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
from llmspell.middleware.function import MiddlewareFunction
from llmspell.middleware.lifecycle import open_middleware
from llmspell.middleware.trace import Observer, Observers
from llmspell.permissions import NOTHING, Grants
from llmspell.permissions.policy import Ask
from llmspell.providers.models import Models
from llmspell.providers.provider import Provider
from llmspell.run_config import HostOptions, RunConfig, launch_of
from llmspell.run_output import Output, StandardOutput
from llmspell.runs import Runs
from llmspell.spell import Spell, parse_spell
from llmspell.spell_lookup import find_spell
from llmspell.spending.account import Account
from llmspell.spending.prices import Prices
from llmspell.spending.spent import Spending
from llmspell.state import Store
from llmspell.stores import Stores
from llmspell.tools.registry import Tools
from llmspell.tools.tool import Tool
from llmspell.values import Value, plain

if TYPE_CHECKING:
    from llmspell.agents.capabilities import Capability, CapabilityTypes
    from llmspell.journal.journal import Journal
    from llmspell.journal.reader import BegunEffect
    from llmspell.journal.recording import Judge, Verdict
    from llmspell.plugins import Plugin
    from llmspell.providers.weights import Progress


RELOADED = ("permissions", "approve", "limits", "budget", "isolate")
"""Settings that can change while a runtime is there."""


class Runtime:
    """Runs spells; any number at once, in one event loop. Use it as an async context manager.

    Two runtimes in one process share nothing.

        async with Runtime(tools=[weather]) as runtime:
            result = await runtime.run("forecast.lua", params={"city": "Oslo"})

    Attributes:
        tools: The registry all runs see.
        hooks: Hooks on the effects of all runs.
        events: The bus on which it tells what it does, and spells what they like.
        bridges: What performs the effects of runs.
        models: The models runs can ask.
        plugins: The plugins that were started, by name.
        spent: What its runs have spent on models, by model.
        spent_before: What those of them that it resumed had spent before.
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
        limits: Limits | None = None,
        budget: Budget | None = None,
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
        """Make a runtime; what is given goes before what the project's llmspell.toml says.

        Args:
            tools: Tools, or typed functions to make tools of; Lua globals of their own names.
            project: The project; by default the one around the current folder.
            model: Model of agents that name none.
            grants: What spells may touch besides what the project grants.
            denied: What they may not, besides what the project denies; it wins over all grants.
            ask: Asks a person for what is not granted; by default it is refused.
            person: Answers what spells ask and approves of effects; by default nobody does.
            approved: What is approved of beforehand: `tool.call:send_mail`.
            limits: Limits of each run.
            budget: What each run may spend on models.
            isolate: Whether each spell runs in a process of its own; by default only one that is
                not the user's own does.
            store: Where `State` is kept; closed by whoever made it.
            providers: Providers besides the known ones; their names go first.
            bridges: More bridges.
            middleware: More middleware, each with a `before` or `after`, or async functions of
                an effect and of what comes next.
            plugins: Plugins besides those that the project enables; they have to start.
            hooks: Hooks on the effects of all runs.
            capabilities: Classes of capabilities that agents can be given, by their type.
            observers: Watch every effect of every run.
            record: Whether runs are recorded in the project's `.llmspell/runs.db`; by default as
                the project says, which does unless told otherwise.
            park: Seconds of sleep from which a recorded run stops, with `RunSuspended`, when all of
                it sleeps; by default it sleeps.
            output: Gets each line a spell prints; what has a method `write` gets the text as it is
                written, line ends included. By default it goes to stdout.
            console: Where the lines come from that a spell reads; by default stdin.
            progress: Told of the download of the embedded model.

        Raises:
            ConfigError: When the settings are wrong.
            PluginError: When tools or bridges cannot be loaded.
        """
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
        )
        self._run_config = RunConfig(self._given, self.project, self.models)
        self.bridges = all_bridges(bridges)
        self._middleware = all_middleware(self.project, middleware)
        self._given_plugins = tuple(plugins)
        self.plugins: dict[str, Plugin] = {}
        self._record = settings.journal.record if record is None else record
        self._park = park
        self._journal: Journal | None = None
        self._begun_runs: Runs | None = None
        self._entered = False
        self._output = StandardOutput() if output is None else output
        account = Account(Budget(), "all runs")
        self.spent: Spending = account.spent
        self._before = Account(Budget(), "runs before they were resumed")
        self.spent_before: Spending = self._before.spent
        self._shared: dict[type, Any] = {
            Account: account,
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
        """The types of capabilities that agents can be given."""
        from llmspell.agents.capabilities import CapabilityTypes

        if CapabilityTypes not in self._shared:
            self._shared[CapabilityTypes] = CapabilityTypes()
        types: CapabilityTypes = self._shared[CapabilityTypes]
        return types

    @property
    def middleware(self) -> tuple[Middleware, ...]:
        """What the effects of its runs pass, outermost first."""
        return self._middleware

    @property
    def records(self) -> bool:
        """Whether its runs are recorded."""
        return self._record

    async def __aenter__(self) -> Self:
        if self._entered:
            raise LlmspellError("a runtime is started once only", hint="make another one")
        self._entered = True
        async with AsyncExitStack() as cleanup:
            cleanup.push_async_callback(self.events.close)
            open_middleware(self._middleware, self, cleanup)
            await self._start_plugins(cleanup)
            cleanup.push_async_callback(self.models.close)
            cleanup.push_async_callback(self._stores.close)
            cleanup.callback(self._close_journal)
            self._begun_runs = runs = self._made_runs()
            cleanup.push_async_callback(runs.close)
            await self._tell("runtime.start")
            self._cleanup = cleanup.pop_all()
        self.events.tell("runtime.started", None)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._tell("runtime.stop")
        finally:
            self.events.tell("runtime.stopped", None)
            self._begun_runs = None
            await self._cleanup.__aexit__(kind, error, traceback)

    async def run(
        self,
        spell: str | Path | Spell,
        *,
        params: Mapping[str, Value] | None = None,
        arguments: Sequence[str] = (),
        output: Output | None = None,
        begun: Callable[[str], None] = lambda _: None,
    ) -> Value:
        """Run a spell; what it returns.

        Args:
            spell: A path, a name, or a spell already read.
            params: Its parameters.
            arguments: What `arg` and `...` hold in it.
            output: Gets what it prints; by default the runtime's does.
            begun: Told the run's id before it does anything.

        Raises:
            SpellError: It was not found, does not compile, or did not catch an error.
            ConfigError: Its front matter or a parameter is wrong.
            LimitExceeded: It broke a limit.
            RunSuspended: It stopped by itself, and can be resumed.
        """
        if not isinstance(spell, Spell):
            spell = find_spell(str(spell), self.project)
        launch = await self._run_config.launch(spell, params or {}, arguments)
        run = self._runs.run(launch, self._output_or(output), begun)
        return await self._explained(spell, run)

    async def resume(
        self,
        run: str,
        *,
        unfinished: Verdict | Judge = "fail",
        output: Output | None = None,
        begun: Callable[[str], None] = lambda _: None,
    ) -> Value:
        """Go on with a run that stopped; what it returns.

        All that was recorded is answered from the record, and it goes on from there. The spell is
        taken as it is now: it may have been edited where it had not come to.

        Args:
            run: Its id, or the beginning of that.
            unfinished: What to do about an effect that had begun when the run stopped, when it may
                not simply be done again: do it `again`, `skip` it with the result nil, or `fail`.
            output: Gets all that it prints, from the first line on; by default the runtime's does.
            begun: Told the run's id before it does anything.

        Raises:
            RunNotFound: There is no such run.
            RunBusy: Another process is at it.
            JournalMismatch: The spell asks for another effect than the recorded one.
            UnfinishedEffect: It could not be resumed without an answer.
            NotApproved, NobodyToAsk: The record is from elsewhere, and holds an approval of something
                that is to be done yet, which nobody here gave.
            Exception: What `run` raises.
        """
        from llmspell import resume_inputs
        from llmspell.journal import rerun
        from llmspell.journal.imported_approvals import approved_elsewhere

        async def always(_: BegunEffect) -> Verdict:
            return unfinished  # type: ignore[return-value]

        journal = self._open_journal()
        found = rerun.find(journal, run)
        spell = resume_inputs.spell_now(found, self.project)
        launch = await self._run_config.launch_again(found, spell)
        resume_inputs.check_tools(found, self.tools)
        judge = unfinished if callable(unfinished) else always
        recorded = approved_elsewhere(journal.path, found)
        approved = await resume_inputs.approve_again(
            found, recorded, launch.approvals, self._person
        )
        beginning = launch.beginning(self.tools)
        recording = rerun.resume(journal, found, beginning, judge, approved=approved)
        done = self._runs.run_recorded(recording, launch, self._output_or(output), begun)
        return await self._explained(spell, done)

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
        """Begin a new run with what another one did before a step, and go on from there.

        The recorded effects are not done again, so the spell has to ask for the same ones until
        then, whatever is changed. The other run stays as it is.

        Args:
            run: The other run's id, or the beginning of that.
            at: The path of the effect before which they part. What is made of effects is parted at
                the first that was done on its behalf.
            params: Parameters that are to be other ones.
            models: The models to ask from there on in place of others, by the names of those.
            spell: The spell to go on with, in place of the recorded one's file.
            output: Gets all that it prints, from the first line on; by default the runtime's does.
            begun: Told the new run's id before it does anything.

        Raises:
            RunNotFound: There is no such run.
            ReplayError: Nothing was recorded at that path.
            InvalidArguments: A model's name is none.
            Exception: What `resume` raises.
        """
        from llmspell import resume_inputs
        from llmspell.journal import rerun
        from llmspell.providers.provider import ModelName

        for pair in (models or {}).items():
            for model in pair:
                ModelName.parse(model)
        if spell is not None and not isinstance(spell, Spell):
            spell = find_spell(str(spell), self.project)
        journal = self._open_journal()
        found = rerun.find(journal, run)
        bound = resume_inputs.params_now(
            found, spell or resume_inputs.spell_now(found, self.project), params
        )
        id_ = rerun.fork(journal, found, at, rerun.ForkOptions(bound, models or {}, spell))
        return await self.resume(id_, unfinished="again", output=output, begun=begun)

    async def replay(
        self, run: str, *, until: str | None = None, output: Output | None = None
    ) -> Value:
        """Do a run again without doing anything outside; what it returned.

        Args:
            run: Its id, or the beginning of that.
            until: The path of an effect before which to stop, by raising `RunSuspended`.
            output: Gets what it prints; by default the runtime's does.

        Raises:
            RunNotFound: There is no such run.
            JournalMismatch: This version of llmspell, or of a tool, does it otherwise.
            JournalExhausted: It was not recorded to its end.
            Exception: What the run raised.
        """
        from llmspell.journal import rerun

        journal = self._open_journal()
        found = rerun.find(journal, run)
        launch = launch_of(found)
        recording = rerun.replay(journal, found, until=until)
        tools = found.setup["tools"]
        return await self._runs.run_recorded(
            recording, launch, self._output_or(output), tools=tools
        )

    async def execute(
        self,
        source: str,
        *,
        name: str = "chunk",
        begun: Callable[[str], None] = lambda _: None,
    ) -> Value:
        """Run a spell given as text."""
        return await self.run(parse_spell(source.encode(), name=name, file=name), begun=begun)

    async def reload(self) -> list[str]:
        """Read the project's settings again; the names of those that changed and are used now.

        Runs that begin from now on have its permissions, approvals, limits, budget and `isolate`;
        other settings are those of the start. Hooks at `config.change` are told before.

        Raises:
            ConfigError: The settings are wrong. The old ones stay.
            HookHalted: A hook refuses the change.
            HookFailed: A required one failed.
        """
        old, new = self.project.settings, find_project(self.project.root).settings
        changed = [name for name in RELOADED if getattr(new, name) != getattr(old, name)]
        if changed:
            about = {
                n: {"old": plain(getattr(old, n)), "new": plain(getattr(new, n))} for n in changed
            }
            await self._tell("config.change", changed=about)
            used: dict[str, Any] = {name: getattr(new, name) for name in changed}
            self.project = replace(self.project, settings=replace(old, **used))
            self._shared[Project] = self.project
            self._run_config = RunConfig(self._given, self.project, self.models)
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
        return self._begun_runs

    def _output_or(self, given: Output | None) -> Output:
        return self._output if given is None else given

    async def _explained(self, spell: Spell, run: Coroutine[Any, Any, Value]) -> Value:
        """What a run returns; a limit it broke says what sets that."""
        try:
            return await run
        except LimitExceeded as error:
            self._run_config.explain(error, spell)
            raise

    async def _tell(self, point: str, **args: Value) -> None:
        """Tell hooks of a point in the runtime's life."""
        await tell_of_runtime(self.hooks, point, args, self.events)

    def _made_runs(self) -> Runs:
        return Runs(
            self._shared,
            image=build(self.bridges.lua()),
            bridges=self.bridges,
            middleware=self._middleware,
            modules=self.project.root / "lua_modules",
            open_store=self._stores.open,
            person=self._person,
            isolate=self._isolates,
            open_journal=self._open_journal if self._record else None,
            before=self._before,
            park=self._park,
        )

    def _isolates(self, spell: Spell) -> bool:
        return self._run_config.isolates(spell)

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
        self._stores.check()

    def _open_journal(self) -> Journal:
        if self._journal is None:
            from llmspell.project_journal import open_journal

            self._journal = open_journal(self.project)
        return self._journal

    def _close_journal(self) -> None:
        if self._journal is not None:
            self._journal.close()
