"""Starts runs: those requested of a runtime, and child runs of spells that run other spells."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmspell.agents.templates import Templates
from llmspell.approvals import Approvals, check_rules
from llmspell.bridge import Bridges
from llmspell.child_runs import ChildRun, ChildRuns
from llmspell.concurrency import in_own_task
from llmspell.config import Project
from llmspell.effects import Effect
from llmspell.engine import Engine
from llmspell.events import Events
from llmspell.frozen import Frozen
from llmspell.hooks import Hooks
from llmspell.human import Human, Person
from llmspell.isolation.choice import Isolation
from llmspell.journal.ending import to_its_end
from llmspell.journal.recording import Recording
from llmspell.journal.run_ids import new_id, new_seed
from llmspell.kept import Kept
from llmspell.limits import Budget, Limits
from llmspell.lua.image import Image
from llmspell.lua.machine import Machine
from llmspell.lua.vm import Vm
from llmspell.lua_modules import Modules
from llmspell.middleware import Middleware
from llmspell.permissions import Permissions
from llmspell.providers.models import Substitutes
from llmspell.run_output import Output, RunOutput
from llmspell.spell import Spell
from llmspell.spending.account import Account
from llmspell.spending.accounts import Accounts
from llmspell.spending.prices import Prices
from llmspell.state import Store
from llmspell.tools.registry import Tools
from llmspell.values import Value, plain

if TYPE_CHECKING:
    from llmspell.isolation.workers import Workers
    from llmspell.journal.chain_changes import Chain
    from llmspell.journal.journal import Beginning, Journal

log = logging.getLogger("llmspell.journal")


class Launch(Frozen):
    """Everything a run starts with."""

    spell: Spell
    params: dict[str, Value]
    arguments: list[str]
    permissions: Permissions
    limits: Limits
    approvals: Approvals
    budget: Budget
    isolation: Isolation
    models: Substitutes = field(default_factory=Substitutes)
    given: Mapping[str, Any] = field(default_factory=dict)

    def beginning(self, tools: Tools, chain: Chain) -> Beginning:
        """Return what the journal records of it; of the tools, only those that are not built in."""
        from llmspell.journal.journal import Beginning
        from llmspell.version import VERSION

        spell, permissions = self.spell, self.permissions
        setup = {
            "limits": asdict(self.limits),
            # Resolved, since the run may be resumed from another folder.
            "grants": plain(permissions.granted.resolved()),
            "denied": plain(permissions.denied.resolved()),
            "approvals": {"wanted": self.approvals.wanted, "given": self.approvals.given},
            "budget": plain(self.budget),
            "models": dict(self.models),
            "given": dict(self.given),
            "tools": [tool.describe() for tool in tools.own_versions()],
            "chain": dict(chain),
            "versions": {"llmspell": VERSION, "python": platform.python_version()},
        }
        return Beginning(
            spell=spell.name,
            file=spell.file,
            path=spell.path,
            source=spell.source,
            trusted=spell.trusted,
            params=self.params,
            arguments=self.arguments,
            setup=setup,
        )


class Runs:
    """Starts runs that share a runtime's registries and services."""

    def __init__(
        self,
        services: Mapping[type, Any],
        *,
        image: Image,
        bridges: Bridges,
        middleware: Sequence[Middleware],
        modules: Path,
        open_store: Callable[[], Store],
        person: Person | None,
        open_journal: Callable[[], Journal] | None,
        before: Account,
        park: float | None,
    ) -> None:
        """Store what the runs share.

        Args:
            services: Services shared by runs: hooks, tools, events, models and so on.
            image: The compiled trusted Lua of their states.
            bridges: The bridges whose handlers perform their effects.
            middleware: The middleware that their effects pass through.
            modules: Where the user's own spells find Lua modules, besides their own folder.
            open_store: Opens the store when a run first needs it.
            person: Answers questions and approves effects, if anyone does.
            open_journal: Opens the journal; None when runs are not recorded.
            before: Account that is also charged with what resumed runs had already spent.
            park: Suspend a recorded run when all of it sleeps for at least this many seconds.
        """
        self._shared = services
        self._image, self._bridges, self._middleware = image, bridges, middleware
        self._modules, self._open_store = modules, open_store
        self._person, self._before = person, before
        self._open_journal, self._park = open_journal, park
        self._workers: list[Workers] = []

    async def run(self, launch: Launch, output: Output, begun: Callable[[str], None]) -> Value:
        """Run a spell and return its result. `begun` is called with the run's id.

        Raises what `Engine.execute` raises, and JournalError.
        """
        recording = self._begun(launch)
        if recording is not None:
            return await self.run_recorded(recording, launch, output, begun)
        id_ = new_id()
        begun(id_)
        shown = RunOutput(output, launch.limits.output)
        services = self._services(launch, shown, Kept(launch.limits.kept), self._shared[Hooks])
        return await self._execute(id_, new_seed(), launch, services)

    async def run_recorded(
        self,
        recording: Recording,
        launch: Launch,
        output: Output,
        begun: Callable[[str], None] = lambda _: None,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> Value:
        """Like `run`, for a run that is being recorded, resumed or replayed.

        `tools` describes the tools that the run had when it was recorded.
        """
        with to_its_end(recording) as end:
            begun(recording.id)
            recording.parking.park = self._park
            shown = RunOutput(output, launch.limits.output)
            services = self._services(launch, shown, Kept(launch.limits.kept), self._shared[Hooks])
            services[Recording] = recording
            if recording.is_replay:
                _replay_in(services, tools)
            else:
                prices = self._shared[Prices]
                services[Accounts].resume(recording.before, prices, self._before)
            work = self._execute(recording.id, recording.seed, launch, services)
            end.result = await in_own_task(work, lambda: recording.leave())  # noqa: PLW0108 - set later
        if forget := getattr(services.get(Store), "forget_run", None):  # it will not be resumed
            forget(recording.id)
        return end.result

    def beginning(self, launch: Launch) -> Beginning:
        """Return what the journal records of a launch."""
        return launch.beginning(self._shared[Tools], self.chain)

    @property
    def chain(self) -> Chain:
        """The names of the hooks of all runs, and of the middleware."""
        return {
            "hooks": [hook.id for hook in self._shared[Hooks].all()],
            "middleware": [one.name for one in self._middleware],
        }

    def _begun(self, launch: Launch) -> Recording | None:
        """Begin recording a new run; None when runs are not recorded or the file is read-only."""
        if self._open_journal is None:
            return None
        journal = self._open_journal()
        if journal.writable:
            return journal.begin(self.beginning(launch))
        log.warning(
            "not recorded, as %s cannot be written; --no-record turns recording off", journal.path
        )
        return None

    async def close(self) -> None:
        for workers in self._workers:
            await workers.close()

    async def _run_child(
        self, effect: Effect, child: ChildRun, permissions: Permissions, limits: Limits
    ) -> Value:
        spell = child.spell
        params = spell.bind(child.params)
        check_rules(spell.approve, self._bridges, spell.file)
        approvals = effect.run[Approvals].also(spell.approve)
        budget = Budget(unknown_price=effect.run[Account].budget.unknown_price)
        budget = budget.lowered(child.limits).lowered(spell.limits)
        launch = Launch(
            spell,
            params,
            list(child.arguments),
            permissions,
            limits,
            approvals,
            budget,
            effect.run[Isolation],
        )
        output = effect.run[RunOutput].within(limits.output)
        kept = effect.run[Kept].within(limits.kept)
        services = self._services(launch, output, kept, effect.run[Hooks])
        services[Accounts] = effect.run[Accounts]
        services[Substitutes] = effect.run[Substitutes]
        around = effect.run[Events]
        services[Events] = Events(outer=around) if child.own_events else around
        if child.own_state:
            from llmspell.state import MemoryStore

            services[Store] = MemoryStore(ends_with_run=True)
        recording = services[Recording] = effect.run[Recording]
        seed = recording.seed_of(effect.path) if recording else new_seed()
        id_ = f"{effect.run.id}:{effect.path}"
        with services[Accounts].at(effect.path, services[Account]):
            return await self._execute(id_, seed, launch, services, parent=effect)

    async def _execute(
        self,
        id_: str,
        seed: int,
        launch: Launch,
        services: Mapping[type, Any],
        parent: Effect | None = None,
    ) -> Value:
        with _dropping(services), closing(services[Hooks]):
            engine = Engine(
                id_,
                vm=await self._machine(launch, seed, services),
                bridges=self._bridges,
                services=services,
                middleware=self._middleware,
                parent=parent,
            )
            return await engine.execute(launch.spell, launch.params, launch.arguments)

    def _services(
        self, launch: Launch, output: RunOutput, kept: Kept, around: Hooks
    ) -> dict[type, Any]:
        """Return the services of a run, which handlers find at `effect.run[…]`.

        Its hooks come after those `around` it, to which it listens until they are closed.
        """
        spell, events = launch.spell, self._shared[Events]
        account = Account(launch.budget, f"the spell {spell.name}", ends_run=True)
        own = {
            Approvals: launch.approvals,
            Account: account,
            Accounts: Accounts(account, self._shared[Account]),
            ChildRuns: ChildRuns(launch.limits, launch.permissions, self._run_child),
            Events: events if spell.trusted else Events(outer=events),
            Hooks: Hooks(around, kept),
            Human: Human(spell.file, self._person),
            Isolation: launch.isolation,
            Kept: kept,
            Limits: launch.limits,
            Modules: Modules(self._module_folders(spell)),
            Permissions: launch.permissions,
            Recording: None,
            Substitutes: launch.models,
            Tools: Tools(self._shared[Tools]),
            RunOutput: output,
        }
        makers: dict[type, Callable[[], Any]] = {
            Store: self._open_store,
            Templates: lambda: Templates(self._template_folders(spell)),
        }
        return _Services({**self._shared, **own}, makers)

    def _module_folders(self, spell: Spell) -> list[Path]:
        folders = [spell.folder] if spell.folder else []
        return [*folders, self._modules] if spell.trusted else folders

    def _template_folders(self, spell: Spell) -> list[Path]:
        folders = [spell.folder] if spell.folder else []
        if spell.trusted:
            folders.append(self._shared[Project].root)
        return [folder / "agents" for folder in folders]

    async def _machine(self, launch: Launch, seed: int, services: Mapping[type, Any]) -> Machine:
        """Create the Lua state of a run: in this process or, for an isolated spell, in a worker."""
        limits, tools = launch.limits, list(services[Tools])
        if not launch.isolation.covers(launch.spell):
            return Vm(limits, seed=seed, image=self._image, tools=tools)
        recording = services[Recording]
        with recording.creates_state() if recording else nullcontext():
            worker = await self._workers_for(limits).take()
        worker.set_up(limits, seed=seed, tools=tools)
        return worker

    def _workers_for(self, limits: Limits) -> Workers:
        """Return workers with enough memory; a reload of the settings may have raised the limit."""
        if not self._workers or self._workers[-1].memory < limits.memory:
            from llmspell.isolation.workers import Workers

            self._workers.append(Workers(self._image, memory=limits.memory))
        return self._workers[-1]


@contextmanager
def _dropping(services: Mapping[type, Any]) -> Iterator[None]:
    """Have services drop what they keep for a run when it is over.

    They are parts of cycles, which Python may be late to collect.
    """
    try:
        yield
    finally:
        for service in list(services.values()):
            if drop := getattr(service, "drop_kept", None):
                drop()


def _replay_in(services: dict[type, Any], tools: Sequence[Mapping[str, Any]]) -> None:
    """Provide the services a replay needs though it performs nothing: a store, and the tools.

    A tool that has changed since is as it was, since models were told of it.
    """
    from llmspell.state import MemoryStore
    from llmspell.tools.recorded_tool import RecordedTool

    services[Store] = MemoryStore()  # watches can be opened but see no changes
    now = services[Tools]
    then = []
    for described in tools:
        tool = now.get(f"{described['name']}@{described['version']}")
        same = tool is not None and plain(tool.describe()) == described
        then.append(tool if tool is not None and same else RecordedTool(described))
    for tool in then:
        now.register(tool.name, tool, version=tool.version, replace=True)


class _Services(dict[type, Any]):
    """The services behind `run[SomeType]`.

    A missing service is created on demand: by its maker, or else by calling the type.
    """

    def __init__(self, ready: Mapping[type, Any], makers: Mapping[type, Callable[[], Any]]) -> None:
        super().__init__(ready)
        self._makers = makers

    def __missing__(self, service: type) -> Any:
        made = self[service] = self._makers.get(service, service)()
        return made
