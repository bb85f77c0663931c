"""The façade: what a Python program that embeds llmspell uses, and the command line as well."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from llmspell.bridge import Bridge, Bridges
from llmspell.config import Project, find_project
from llmspell.console import Console
from llmspell.driver import Output
from llmspell.engine import Engine
from llmspell.errors import ConfigError, LlmspellError, PluginError, SpellRuntimeError
from llmspell.hooks import Hooks
from llmspell.limits import Limits
from llmspell.lua.image import build
from llmspell.lua.vm import Vm
from llmspell.middleware import Middleware, arrange
from llmspell.middleware.trace import Observer, Observers
from llmspell.modules import Modules
from llmspell.permissions import Grants
from llmspell.providers.models import Models
from llmspell.providers.provider import Provider
from llmspell.spell import Spell, find_spell, parse_spell
from llmspell.state import Store
from llmspell.tools.loading import BuiltInTools, installed, load_module, load_reference
from llmspell.tools.tool import FunctionTool, Tool, Tools
from llmspell.values import Value

if TYPE_CHECKING:
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
        limits: Limits | None = None,
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
            limits: Limits of each run.
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
        self._grants = settings.permissions.merged(grants or Grants())
        self._limits = limits or settings.limits
        self._bridges = Bridges([*_installed_bridges(), *bridges])
        self._middleware = arrange(middleware)
        self._observers = Observers(observers)
        self._output = output or _print
        self._console = console or Console()
        self._given_store = store
        self._store: Store | None = store
        self._cleanup = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._cleanup.__aenter__()
        self._cleanup.push_async_callback(self.models.close)
        self._cleanup.push_async_callback(self._close_store)
        self._new_vm = partial(Vm, image=build(self._bridges.lua()))
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
            spell = find_spell(str(spell), self.project.spell_folders)
        bound = spell.bind(params or {})
        limits = _lowered(self._limits, spell)
        hooks = Hooks(self.hooks)
        services = _Services(
            {
                Console: self._console,
                Grants: self._grants,
                Hooks: hooks,
                Limits: limits,
                Models: self.models,
                Modules: Modules(self._module_folders(spell)),
                Observers: self._observers,
                Project: self.project,
                Tools: Tools(self.tools),
            },
            makers={Store: self._open_store},
        )
        new_vm = partial(
            self._new_vm,
            limits,
            seed=int.from_bytes(os.urandom(4)) >> 1,
            tools=list(self.tools),
        )
        engine = Engine(
            _new_run_id(),
            new_vm=new_vm,
            bridges=self._bridges,
            services=services,
            middleware=self._middleware,
            output=output or self._output,
        )
        try:
            return await engine.execute(spell, bound, list(arguments))
        except LlmspellError as error:
            # A call in tail position leaves no line to point at.
            error.where = error.where or spell.file
            if isinstance(error, SpellRuntimeError) and not error.hint:
                error.hint = _similar_tool(error.message, self.tools)
            raise
        finally:
            hooks.close()

    async def execute(self, source: str, *, name: str = "chunk") -> Value:
        """Run a spell given as text."""
        return await self.run(parse_spell(source.encode(), name=name, file=name))

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
        own = [spell.folder] if spell.folder else []
        return [*own, self.project.root / "lua_modules"]

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


def _similar_tool(message: str, tools: Tools) -> str | None:
    """What a spell may have meant that called a global which is not there."""
    missing = re.fullmatch(r"attempt to call a nil value \(global '(\w+)'\)", message)
    if missing is None:
        return None
    import difflib

    similar = difflib.get_close_matches(missing[1], list(tools), n=1)
    return f"did you mean {similar[0]}?" if similar else "list the tools with: llmspell tools"


def _lowered(limits: Limits, spell: Spell) -> Limits:
    """The host's limits with those of the spell's front matter that are lower."""
    known = {f.name for f in fields(Limits)}
    wrong = [
        f"limits.{name}: {'no limit of that name' if name not in known else 'must be a number above 0'}"
        for name, value in spell.limits.items()
        if name not in known
        or isinstance(value, bool)
        or not isinstance(value, (int, float))
        or value <= 0
    ]
    if wrong:
        raise ConfigError(spell.file, wrong, hint=f"limits are {', '.join(sorted(known))}")
    return replace(
        limits, **{name: min(value, getattr(limits, name)) for name, value in spell.limits.items()}
    )


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
