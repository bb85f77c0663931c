"""llmspell.toml, or the same as JSON or YAML: what a project sets.

The settings are plain dataclasses, so that a run without a file imports no validation; a file is
checked against them by pydantic.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, get_args, get_origin, get_type_hints

from llmspell.belonging import refuse_others
from llmspell.durations import seconds_in
from llmspell.errors import ConfigError
from llmspell.formats import read_table
from llmspell.frozen import Frozen
from llmspell.limits import Budget, Limits, Seconds
from llmspell.permissions import KINDS, Grants, targets_in
from llmspell.permissions.paths import SETTINGS_FILES
from llmspell.providers.settings import ProviderSettings
from llmspell.spending.prices import Price
from llmspell.suggestions import similar

G = TypeVar("G", bound=Grants)

_UNKNOWN = "unexpected_keyword_argument"  # pydantic's word for a key that is no field


class StateSettings(Frozen):
    """`[state]`: where `State` keeps its values.

    Attributes:
        backend: "sqlite" keeps them in `.llmspell/state.db` of the project, "memory" for a run; a
            plugin may bring more.
        synchronous: SQLite's: NORMAL survives a killed process, FULL a power cut as well.
    """

    backend: str = "sqlite"
    synchronous: Literal["NORMAL", "FULL"] = "NORMAL"


class JournalSettings(Frozen):
    """`[journal]`: the record of runs, `.llmspell/runs.db` of the project.

    Attributes:
        record: Whether runs are recorded.
        synchronous: SQLite's: NORMAL survives a killed process, FULL a power cut as well.
        retention: How long runs are kept: `llmspell runs prune` deletes older ones.
        redact: Regular expressions for secrets that must not be stored; of one with groups, what
            those hold. Keys of providers are never stored.
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
        raise ValueError(f"redact: {pattern!r} is no regular expression: {error}") from error


class ToolSettings(Frozen):
    """`[tools]`: Python modules or files whose tools become Lua globals."""

    modules: tuple[str, ...] = ()


class PermissionSettings(Grants):
    """`[permissions]`: what spells may touch. In the file, "*" is everything, [] is nothing.

    Attributes:
        deny: What they may not, whatever else grants it.
    """

    deny: Grants = field(default_factory=Grants)


class ApproveSettings(Frozen):
    """`[approve]`: what a person has to approve of; see `llmspell.approvals`.

    Attributes:
        effects: Effects, with `*` for any part: `state.delete`, `tool.call:send_mail`.
    """

    effects: tuple[str, ...] = ()


class MiddlewareSettings(Frozen):
    """`[[middleware]]`: what stands around effects; see `llmspell.middleware`.

    Attributes:
        name: A shipped one, such as "metrics", or what to call that of `module`.
        module: Where to find one's own: `file.py:function` or `package.module:function`.
        effects: Names of the effects it is for, with `*` for any part; by default as it says.
        before: It stands outside the one of that name; by default as it says.
        after: It stands inside the one of that name.
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
            raise ValueError("it says both before and after")


class HookSettings(Frozen):
    """`[[hooks]]`: a hook on the effects of all runs; see `llmspell.hooks.builtin`.

    Attributes:
        name: A shipped one, such as "retry", or what to call that of `module`.
        module: Where to find one's own: `file.py:Class` or `package.module:Class`.
        effects: Names of the effects it is for, with `*` for any part; by default as it says.
        priority: Higher runs first; by default as it says.
        required: Whether its failure fails the effect; by default as it says.
        settings: What its class takes besides. The repr does not show them.
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
        name: Of an installed plugin; or what to call that of `module`.
        module: Where to find one that is not installed: `file.py:Name` or `package.module:Name`.
        enabled: Whether to start it.
        priority: Those with a higher one start first.
        required: Whether the runtime stops when it cannot be started.
        timeout: Seconds that its start-up may take, and its shut-down.
        settings: Its own, checked by its model. The repr does not show them: there may be secrets.
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
    """What the file may hold.

    Attributes:
        model: Model of agents that name none, such as "openai/gpt-5-mini".
        embedder: Model of `Model.embed` when it names none.
        isolate: Whether each spell runs in a process of its own, see security.md; by default only
            one that is not the user's own does.
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


class Project(Frozen):
    """A folder with settings.

    Attributes:
        root: The folder; `.llmspell/` is in it.
        file: Where the settings were read from, or None.
    """

    root: Path
    settings: Settings = field(default_factory=Settings)
    file: Path | None = None

    @property
    def state_file(self) -> Path:
        return self.root / ".llmspell" / "state.db"

    @property
    def metrics_file(self) -> Path:
        return self.root / ".llmspell" / "metrics.prom"

    @property
    def journal_file(self) -> Path:
        return self.root / ".llmspell" / "runs.db"

    @property
    def spell_folders(self) -> list[Path]:
        return [self.root / "spells"]


def find_project(start: Path | None = None) -> Project:
    """The project around a folder: the nearest with a file of settings or `.llmspell/`, or itself.

    Raises:
        ConfigError: With every wrong key of the file, or because another user put it there.
    """
    try:
        start = (start or Path.cwd()).resolve()
    except FileNotFoundError:
        raise ConfigError("the current folder", ["it is not there any more"]) from None
    for folder in (start, *start.parents):
        refuse_others((folder / name for name in (*SETTINGS_FILES, ".llmspell")), start)
        if files := [folder / name for name in SETTINGS_FILES if (folder / name).is_file()]:
            return Project(folder, read_settings(_only(files)), files[0])
        if (folder / ".llmspell").is_dir():
            return Project(folder)
    return Project(start)


def python_files(settings: Settings) -> list[str]:
    """The files of Python that settings name, and that are loaded into the host."""
    named = [
        *settings.tools.modules,
        *(hook.module for hook in settings.hooks),
        *(middleware.module for middleware in settings.middleware),
        *(plugin.module for plugin in settings.plugins),
    ]
    places = [(name or "").partition(":")[0] for name in named]
    return [place for place in places if place.endswith(".py")]


def _only(files: list[Path]) -> Path:
    if len(files) > 1:
        there = " and ".join(file.name for file in files)
        raise ConfigError(
            str(files[0].parent), [f"{there} are both there"], hint="keep the settings in one file"
        )
    return files[0]


def read_settings(file: Path) -> Settings:
    """The settings of one file; paths in it count from its folder. Raises ConfigError."""
    return _relative_to(file.parent, check_settings(read_table(file), str(file)))


def check_settings(table: dict[str, Any], source: str) -> Settings:
    """Settings from a plain table; `source` names it in errors. Raises ConfigError."""
    from pydantic import TypeAdapter, ValidationError

    try:
        settings = TypeAdapter(Settings).validate_python(table)
    except ValidationError as error:
        found = [(_place(e["loc"], table), e["type"], e["msg"]) for e in error.errors()]
        unknown = [e["loc"] for e in error.errors() if e["type"] == _UNKNOWN]
        # Without pydantic's error, which quotes the file: somebody may have written a key there.
        problems = [_problem(*parts) for parts in found]
        raise ConfigError(source, problems, hint=_hint(unknown)) from None
    granted = _read(settings.permissions)
    return replace(settings, permissions=replace(granted, deny=_read(granted.deny)))


def _read(grants: G) -> G:
    return replace(grants, **{kind: targets_in(kind, grants[kind] or ()) for kind in KINDS})


def _place(location: tuple[int | str, ...], table: Any) -> str:
    """A key, such as `state.backend`; an entry of a list goes by its name, if it says one."""
    names = []
    for part in location:
        try:
            table = table[part]
        except (LookupError, TypeError):
            table = None
        name = table.get("name") if isinstance(part, int) and isinstance(table, dict) else None
        names.append(str(name or part))
    return ".".join(names)


def _problem(place: str, kind: str, message: str) -> str:
    if kind == _UNKNOWN:
        return f"{place} is no setting"
    message = message.removeprefix("Value error, ").replace("valid tuple", "valid list")
    return f"{place}: {message[0].lower()}{message[1:]}"


def _hint(unknown: list[tuple[int | str, ...]]) -> str | None:
    """Keys with names like those which there are not, or else what there is in that table."""
    if not unknown:
        return None
    meant = []
    for *table, name in sorted(unknown, key=len):
        keys = _keys_at(table)
        inner = [] if table else [f"{key}.{k}" for key in keys for k in _keys_at([key])]
        meant += [_named([*table, found]) for found in similar(str(name), [*keys, *inner], most=1)]
    if meant:
        return f"did you mean {' and '.join(dict.fromkeys(meant))}?"
    table = list(unknown[0][:-1])
    of = f" of {_named(table)}" if table else ""
    return f"settings{of} are {', '.join(_keys_at(table))}"


def _named(location: Sequence[int | str]) -> str:
    """A key as docs write it: for all entries of a list."""
    return ".".join(part for part in location if isinstance(part, str))


def _keys_at(location: Sequence[int | str]) -> list[str]:
    """The keys of a table of settings, or of an entry of such a list; none where any can be."""
    kind: Any = Settings
    for part in location:
        if dataclasses.is_dataclass(kind):
            kind = get_type_hints(kind)[str(part)]
        else:  # a table or a list of such
            kind = next((of for of in get_args(kind) if dataclasses.is_dataclass(of)), None)
    if get_origin(kind) is tuple:
        kind = get_args(kind)[0]
    return [key.name for key in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []


def _relative_to(folder: Path, settings: Settings) -> Settings:
    def placed(module: str | None) -> str | None:
        """A module, or something in it; a file as the place where it is."""
        file = (module or "").partition(":")[0]
        return str(folder / module) if module and file.endswith(".py") else module

    granted = _below(folder, settings.permissions)
    granted = replace(granted, deny=_below(folder, granted.deny))
    return replace(
        settings,
        permissions=granted,
        tools=ToolSettings(tuple(str(placed(module)) for module in settings.tools.modules)),
        hooks=tuple(replace(h, module=placed(h.module)) for h in settings.hooks),
        middleware=tuple(replace(m, module=placed(m.module)) for m in settings.middleware),
        plugins=tuple(replace(p, module=placed(p.module)) for p in settings.plugins),
    )


def _below(folder: Path, grants: G) -> G:
    def resolved(path: str) -> str:
        return str(folder / (Path(path).expanduser() if path[:1] == "~" else path))

    return replace(
        grants,
        read=grants.read and tuple(map(resolved, grants.read)),
        write=grants.write and tuple(map(resolved, grants.write)),
        run=grants.run and tuple(resolved(p) if "/" in p else p for p in grants.run),
    )
