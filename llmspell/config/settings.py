"""The settings: the contents of llmspell.toml, or of the same as JSON or YAML.

They are plain dataclasses, so that a run without a settings file imports no validation. A file is
validated against them with pydantic, see `llmspell.config.validation`.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import Any, ClassVar, Literal

from llmspell.durations import seconds_in
from llmspell.frozen import Frozen
from llmspell.limits import Budget, Limits, Seconds
from llmspell.permissions import Grants
from llmspell.providers.settings import ProviderSettings
from llmspell.spending.prices import Price


class StateSettings(Frozen):
    """`[state]`: where `State` keeps its values.

    Attributes:
        backend: "sqlite" keeps them in the project's `.llmspell/state.db`, "memory" for one run;
            plugins may add more.
        synchronous: SQLite's setting: NORMAL survives a killed process, FULL also a power cut.
    """

    backend: str = "sqlite"
    synchronous: Literal["NORMAL", "FULL"] = "NORMAL"


class JournalSettings(Frozen):
    """`[journal]`: the record of runs, in the project's `.llmspell/runs.db`.

    Attributes:
        record: Whether runs are recorded.
        synchronous: SQLite's setting: NORMAL survives a killed process, FULL also a power cut.
        retention: How long runs are kept; `llmspell runs prune` deletes older ones.
        redact: Regular expressions for secrets that must not be stored; if one has groups, only
            what they match. Keys of providers are never stored.
    """

    record: bool = True
    synchronous: Literal["NORMAL", "FULL"] = "NORMAL"
    retention: str = "30d"
    redact: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        try:
            seconds_in(self.retention)
        except ValueError as error:
            raise ValueError(f"retention: {error}") from error
        for pattern in self.redact:
            _check_pattern(pattern)


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"redact: {pattern!r} is not a regular expression: {error}") from error


class ToolSettings(Frozen):
    """`[tools]`: Python modules or files whose tools become Lua globals."""

    modules: tuple[str, ...] = ()


class PermissionSettings(Grants):
    """`[permissions]`: what spells may touch. In the file, "*" is everything, [] is nothing.

    Attributes:
        deny: What they may not touch, whatever else grants it.
    """

    deny: Grants = field(default_factory=Grants)


class ApproveSettings(Frozen):
    """`[approve]`: which effects a person has to approve; see `llmspell.approvals`.

    Attributes:
        effects: Effects, with `*` as a wildcard: `state.delete`, `tool.call:send_mail`.
    """

    effects: tuple[str, ...] = ()


class MiddlewareSettings(Frozen):
    """`[[middleware]]`: middleware around effects; see `llmspell.middleware`.

    Attributes:
        name: A shipped one, such as "metrics", or a name for that of `module`.
        module: Where to find your own: `file.py:function` or `package.module:function`.
        effects: Names of the effects it is for, with `*` as a wildcard; by default its own choice.
        before: Place it outside the middleware of that name; by default its own choice.
        after: Place it inside the middleware of that name.
    """

    name: str | None = None
    module: str | None = None
    effects: tuple[str, ...] = ()
    before: str | None = None
    after: str | None = None
    settings: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        _require_name(self.name, self.module)
        if self.before and self.after:
            raise ValueError("it has both before and after")


class HookSettings(Frozen):
    """`[[hooks]]`: a hook on the effects of all runs; see `llmspell.hooks.builtin`.

    Attributes:
        name: A shipped one, such as "retry", or a name for that of `module`.
        module: Where to find your own: `file.py:Class` or `package.module:Class`.
        effects: Names of the effects it is for, with `*` as a wildcard; by default its own choice.
        priority: Higher runs first; by default its own choice.
        required: Whether its failure fails the effect; by default its own choice.
        settings: Other arguments of its class. Not shown in the repr.
    """

    name: str | None = None
    module: str | None = None
    effects: tuple[str, ...] = ()
    priority: int | None = None
    required: bool | None = None
    settings: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        _require_name(self.name, self.module)


class PluginSettings(Frozen):
    """`[[plugins]]`: a plugin to start; see `llmspell.plugins`.

    Attributes:
        name: The name of an installed plugin, or a name for that of `module`.
        module: Where to find one that is not installed: `file.py:Name` or `package.module:Name`.
        enabled: Whether to start it.
        priority: Plugins with a higher priority start first.
        required: Whether the runtime fails to start without it.
        timeout: Seconds that its start-up may take, and its shut-down.
        settings: Its own settings, validated by its model. Not shown in the repr: they may be
            secret.
    """

    name: str | None = None
    module: str | None = None
    enabled: bool = True
    priority: int = 0
    required: bool = False
    timeout: Seconds = 30
    settings: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        _require_name(self.name, self.module)


def _require_name(name: str | None, module: str | None) -> None:
    if name is None and module is None:
        raise ValueError("say which by name or module")


class Settings(Frozen):
    """The contents of the settings file.

    Attributes:
        model: Model of agents that name none, such as "openai/gpt-5-mini".
        embedder: Model of `Model.embed` when it names none.
        isolate: Whether each spell runs in a process of its own, see security.md; by default only
            spells that are not the user's own do.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    model: str | None = None
    embedder: str | None = None
    isolate: bool | None = None
    state: StateSettings = field(default_factory=StateSettings)
    journal: JournalSettings = field(default_factory=JournalSettings)
    tools: ToolSettings = field(default_factory=ToolSettings)
    providers: dict[str, ProviderSettings] = field(default_factory=dict)
    permissions: PermissionSettings = field(default_factory=PermissionSettings)
    limits: Limits = field(default_factory=Limits)
    approve: ApproveSettings = field(default_factory=ApproveSettings)
    budget: Budget = field(default_factory=Budget)
    prices: dict[str, Price] = field(default_factory=dict)
    hooks: tuple[HookSettings, ...] = ()
    middleware: tuple[MiddlewareSettings, ...] = ()
    plugins: tuple[PluginSettings, ...] = ()


def python_files(settings: Settings) -> list[str]:
    """Return the Python files that the settings name, which are loaded into the host."""
    named = [
        *settings.tools.modules,
        *(hook.module for hook in settings.hooks),
        *(middleware.module for middleware in settings.middleware),
        *(plugin.module for plugin in settings.plugins),
    ]
    places = [(name or "").partition(":")[0] for name in named]
    return [place for place in places if place.endswith(".py")]
