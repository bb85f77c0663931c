"""llmspell.toml: what a project sets.

The settings are plain dataclasses, so that a run without a file imports no validation; a file is
checked against them by pydantic.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from llmspell.errors import ConfigError
from llmspell.limits import Limits
from llmspell.permissions import KINDS, Grants, targets_in
from llmspell.providers.settings import ProviderSettings

FILE = "llmspell.toml"

G = TypeVar("G", bound=Grants)

_UNKNOWN = "unexpected_keyword_argument"  # pydantic's word for a key that is no field


@dataclass(frozen=True)
class StateSettings:
    """`[state]`: where `State` keeps its values.

    Attributes:
        backend: "sqlite" keeps them in `.llmspell/state.db` of the project, "memory" for a run.
        synchronous: SQLite's: NORMAL survives a killed process, FULL a power cut as well.
    """

    backend: Literal["sqlite", "memory"] = "sqlite"
    synchronous: Literal["NORMAL", "FULL"] = "NORMAL"


@dataclass(frozen=True)
class ToolSettings:
    """`[tools]`: Python modules or files whose tools become Lua globals."""

    modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class PermissionSettings(Grants):
    """`[permissions]`: what spells may touch. In the file, "*" is everything, [] is nothing.

    Attributes:
        deny: What they may not, whatever else grants it.
    """

    deny: Grants = field(default_factory=Grants)


@dataclass(frozen=True)
class Settings:
    """What llmspell.toml may hold.

    Attributes:
        model: Model of agents that name none, such as "openai/gpt-5-mini".
        isolate: Whether each spell runs in a process of its own, see security.md; by default only
            one that is not the user's own does.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    model: str | None = None
    isolate: bool | None = None
    state: StateSettings = field(default_factory=StateSettings)
    tools: ToolSettings = field(default_factory=ToolSettings)
    providers: dict[str, ProviderSettings] = field(default_factory=dict)
    permissions: PermissionSettings = field(default_factory=PermissionSettings)
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Project:
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
    def spell_folders(self) -> list[Path]:
        return [self.root / "spells"]


def find_project(start: Path | None = None) -> Project:
    """The project around a folder: the nearest with llmspell.toml or `.llmspell/`, or the folder.

    Raises:
        ConfigError: With every wrong key of the file.
    """
    try:
        start = (start or Path.cwd()).resolve()
    except FileNotFoundError:
        raise ConfigError("the current folder", ["it is not there any more"]) from None
    for folder in (start, *start.parents):
        if (folder / FILE).is_file():
            return Project(folder, read_settings(folder / FILE), folder / FILE)
        if (folder / ".llmspell").is_dir():
            return Project(folder)
    return Project(start)


def read_settings(file: Path) -> Settings:
    """The settings of one file; paths in it count from its folder. Raises ConfigError."""
    import tomllib

    try:
        table = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(str(file), [f"cannot be read: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        hint = "it is TOML: https://toml.io"
        raise ConfigError(str(file), [str(error)], hint=hint) from error
    return _relative_to(file.parent, check_settings(table, str(file)))


def check_settings(table: dict[str, Any], source: str) -> Settings:
    """Settings from a plain table; `source` names it in errors. Raises ConfigError."""
    from pydantic import TypeAdapter, ValidationError

    try:
        settings = TypeAdapter(Settings).validate_python(table)
    except ValidationError as error:
        problems = [_problem(e["loc"], e["type"], e["msg"]) for e in error.errors()]
        unknown = [e["loc"] for e in error.errors() if e["type"] == _UNKNOWN]
        # Without pydantic's error, which quotes the file: somebody may have written a key there.
        raise ConfigError(source, problems, hint=_hint(unknown)) from None
    granted = _read(settings.permissions)
    return replace(settings, permissions=replace(granted, deny=_read(granted.deny)))


def _read(grants: G) -> G:
    return replace(grants, **{kind: targets_in(kind, grants[kind] or ()) for kind in KINDS})


def _problem(location: tuple[int | str, ...], kind: str, message: str) -> str:
    key = ".".join(map(str, location))
    if kind == _UNKNOWN:
        return f"{key} is no setting"
    return f"{key}: {message[0].lower()}{message[1:]}"


def _hint(unknown: list[tuple[int | str, ...]]) -> str | None:
    """Settings with a name like those which there are not, or else what there is."""
    if not unknown:
        return None
    import difflib

    sections = asdict(Settings())
    known = [*sections, *(f"{s}.{key}" for s, keys in sections.items() for key in keys or ())]
    names = [".".join(map(str, location)) for location in unknown]
    similar = [found[0] for n in names if (found := difflib.get_close_matches(n, known, n=1))]
    if similar:
        return f"did you mean {' and '.join(dict.fromkeys(similar))}?"
    return f"settings are {', '.join(sections)}"


def _relative_to(folder: Path, settings: Settings) -> Settings:
    granted = _below(folder, settings.permissions)
    granted = replace(granted, deny=_below(folder, granted.deny))
    modules = tuple(
        str(folder / module) if module.endswith(".py") else module
        for module in settings.tools.modules
    )
    return replace(settings, permissions=granted, tools=ToolSettings(modules))


def _below(folder: Path, grants: G) -> G:
    def resolved(path: str) -> str:
        return str(folder / (Path(path).expanduser() if path[:1] == "~" else path))

    return replace(
        grants,
        read=grants.read and tuple(map(resolved, grants.read)),
        write=grants.write and tuple(map(resolved, grants.write)),
        run=grants.run and tuple(resolved(p) if "/" in p else p for p in grants.run),
    )
