"""The façade: what a Python program that embeds llmspell uses, and the command line as well."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from llmspell.bridge import Bridge, Bridges
from llmspell.children import Child, Children
from llmspell.config import Project, find_project
from llmspell.console import Console
from llmspell.driver import Machine, Output
from llmspell.effects import Effect
from llmspell.engine import Engine
from llmspell.errors import LimitExceeded, PluginError
from llmspell.finding import find_spell
from llmspell.granting import Ask, Granting
from llmspell.hooks import Hooks
from llmspell.limits import Limits
from llmspell.lua.image import build
from llmspell.lua.vm import Vm
from llmspell.middleware import Middleware, arrange
from llmspell.middleware.trace import Observer, Observers
from llmspell.modules import Modules
from llmspell.permissions import NOTHING, Grants, Permissions
from llmspell.providers.models import Models
from llmspell.providers.provider import Provider
from llmspell.spell import Spell, parse_spell
from llmspell.state import Store
from llmspell.tools.loading import BuiltInTools, installed, load_module, load_reference
from llmspell.tools.tool import FunctionTool, Tool, Tools
from llmspell.values import Value

if TYPE_CHECKING:
    from llmspell.isolation.workers import Workers
    from llmspell.providers.weights import Progress


class Runtime:
    """Runs spells; any number at once, in one event loop. Use it as an async context manager.

    Two runtimes in one process share nothing.

        async with Runtime(tools=[weather]) as runtime:
            result = await runtime.run("forecast.lua", params={"city": "Oslo"})

    Attributes:
        tools: The registry all runs see.
        hooks: Hooks on the effects of all runs.
        models: The models runs can ask.
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
        limits: Limits | None = None,
        isolate: bool | None = None,
        store: Store | None = None,
        providers: Iterable[Provider] = (),
        bridges: Iterable[Bridge] = (),
        middleware: Sequence[Middleware] = (),
        observers: Sequence[Observer] = (),
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
            limits: Limits of each run.
            isolate: Whether each spell runs in a process of its own; by default only one that is
                not the user's own does.
            store: Where `State` is kept; closed by whoever made it.
            providers: Providers besides the known ones; their names go first.
            bridges: More bridges.
            middleware: More middleware, each with a `before` or `after`.
            observers: Watch every effect of every run.
            output: Gets each line a spell prints; by default it goes to stdout.
            console: Where the lines come from that a spell reads; by default stdin.
            progress: Told of the download of the embedded model.

        Raises:
            ConfigError: When the settings are wrong.
            PluginError: When tools or bridges cannot be loaded.
        """
        self.project = project or find_project()
        settings = self.project.settings
        self.tools = Tools(BuiltInTools())
        self._register_tools(tools)
        self.hooks = Hooks()
        self.models = Models(
            model or settings.model,
            settings.providers,
            os.environ,
            providers=providers,
            progress=progress,
        )
        self._granting = Granting(
            settings.permissions.merged(grants or NOTHING),
            settings.permissions.deny.merged(denied or NOTHING),
            ask=ask,
            project=self.project,
            models=self.models,
        )
        self._limits = limits or settings.limits
        self._isolate = settings.isolate if isolate is None else isolate
        self._bridges = Bridges([*_installed_bridges(), *bridges])
        self._middleware = arrange(middleware)
        self._observers = Observers(observers)
        self._output = output or _print
        self._console = console or Console()
        self._given_store = store
        self._store: Store | None = store
        self._workers: Workers | None = None
        self._cleanup = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._cleanup.__aenter__()
        self._cleanup.push_async_callback(self.models.close)
        self._cleanup.push_async_callback(self._close_store)
        self._image = build(self._bridges.lua())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._cleanup.__aexit__(kind, error, traceback)

    async def run(
        self,
        spell: str | Path | Spell,
        *,
        params: Mapping[str, Value] | None = None,
        arguments: Sequence[str] = (),
        output: Output | None = None,
    ) -> Value:
        """Run a spell; what it returns.

        Args:
            spell: A path, a name, or a spell already read.
            params: Its parameters.
            arguments: What `arg` and `...` hold in it.
            output: Gets each line it prints.

        Raises:
            SpellError: It was not found, does not compile, or did not catch an error.
            ConfigError: Its front matter or a parameter is wrong.
            LimitExceeded: It broke a limit.
        """
        if not isinstance(spell, Spell):
            spell = find_spell(str(spell), self.project)
        bound = spell.bind(params or {})
        limits = self._limits.lowered(spell.limits)
        permissions = await self._granting.permissions(spell)
        services = self._services(spell, limits, permissions, output or self._output)
        engine = await self._engine(spell, services, output or self._output)
        try:
            return await engine.execute(spell, bound, list(arguments))
        except LimitExceeded as error:
            if error.value < getattr(self._limits, error.limit):
                error.hint = f"the front matter of {spell.file} sets it: raise {error.limit} there"
            raise

    async def execute(self, source: str, *, name: str = "chunk") -> Value:
        """Run a spell given as text."""
        return await self.run(parse_spell(source.encode(), name=name, file=name))

    def _services(
        self, spell: Spell, limits: Limits, permissions: Permissions, output: Output
    ) -> dict[type, Any]:
        """What handlers find at `effect.run[…]`."""
        start = partial(self._run_child, output=output)
        services = {
            Children: Children(limits, permissions, start),
            Console: self._console,
            Hooks: Hooks(self.hooks),
            Limits: limits,
            Models: self.models,
            Modules: Modules(self._module_folders(spell)),
            Observers: self._observers,
            Permissions: permissions,
            Project: self.project,
            Tools: Tools(self.tools),
        }
        return _Services(services, makers={Store: self._open_store})

    async def _run_child(
        self, effect: Effect, child: Child, permissions: Permissions, limits: Limits, output: Output
    ) -> Value:
        spell = child.spell
        bound = spell.bind(child.params)
        services = self._services(spell, limits, permissions, output)
        services[Hooks] = Hooks(effect.run[Hooks])
        if child.own_state:
            from llmspell.state import MemoryStore

            services[Store] = MemoryStore()
        engine = await self._engine(spell, services, output, parent=effect)
        return await engine.execute(spell, bound, list(child.arguments))

    async def _engine(
        self,
        spell: Spell,
        services: Mapping[type, Any],
        output: Output,
        parent: Effect | None = None,
    ) -> Engine:
        return Engine(
            _new_run_id(),
            vm=await self._machine(spell, services[Limits]),
            bridges=self._bridges,
            services=services,
            middleware=self._middleware,
            output=output,
            parent=parent,
        )

    async def _machine(self, spell: Spell, limits: Limits) -> Machine:
        """The Lua state of a run: in this process or, for a spell that is isolated, in another."""
        seed = int.from_bytes(os.urandom(4)) >> 1
        tools = list(self.tools)
        if not (self._isolate or (self._isolate is None and not spell.trusted)):
            return Vm(limits, seed=seed, image=self._image, tools=tools)
        if self._workers is None:
            from llmspell.isolation.workers import Workers

            self._workers = Workers(self._image, memory=self._limits.memory)
            self._cleanup.push_async_callback(self._workers.close)
        worker = await self._workers.take()
        worker.set_up(limits, seed=seed, tools=tools)
        return worker

    def _register_tools(self, given: Iterable[Tool | Any]) -> None:
        found = [load_reference(value) for value in installed("llmspell.tools").values()]
        for module in self.project.settings.tools.modules:
            found += load_module(module)
        found += [entry if isinstance(entry, Tool) else FunctionTool(entry) for entry in given]
        for tool in found:
            try:
                self.tools.register(tool.name, tool)
            except ValueError as error:
                raise PluginError(
                    f"two tools are named {tool.name!r}", hint="name one of them: @tool(name=…)"
                ) from error

    def _module_folders(self, spell: Spell) -> list[Path]:
        folders = [spell.folder] if spell.folder else []
        return [*folders, self.project.root / "lua_modules"] if spell.trusted else folders

    def _open_store(self) -> Store:
        if self._store is None:
            settings = self.project.settings.state
            if settings.backend == "memory":
                from llmspell.state import MemoryStore

                self._store = MemoryStore()
            else:
                from llmspell.state import SqliteStore

                self._store = SqliteStore(self.project.state_file, synchronous=settings.synchronous)
        return self._store

    async def _close_store(self) -> None:
        if self._store is not None and self._store is not self._given_store:
            await self._store.close()


class _Services(dict[type, Any]):
    """What `run[SomeType]` finds. What is not there is made when it is asked for: by its maker, or
    simply by calling the type.
    """

    def __init__(self, ready: Mapping[type, Any], makers: Mapping[type, Callable[[], Any]]) -> None:
        super().__init__(ready)
        self._makers = makers

    def __missing__(self, service: type) -> Any:
        made = self[service] = self._makers.get(service, service)()
        return made


def _installed_bridges() -> list[Bridge]:
    bridges = []
    for name, value in installed("llmspell.bridges").items():
        module, _, attribute = value.partition(":")
        try:
            from importlib import import_module

            bridges.append(getattr(import_module(module), attribute or "bridge"))
        except (ImportError, AttributeError) as error:
            raise PluginError(f"the bridge {name!r} cannot be loaded: {error}") from error
    return bridges


def _new_run_id() -> str:
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(3).hex()}"


def _print(text: str | bytes) -> None:
    if isinstance(text, str):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(text + b"\n")
        sys.stdout.buffer.flush()
