"""The options that commands which run a spell have in common."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from llmspell.config import find_project
from llmspell.permissions import KINDS, Grants

EVERYTHING = "*"


def run_options() -> list[click.Option]:
    """The options, new ones at each call."""
    grants = [
        click.Option(
            [f"--allow-{kind}"],
            multiple=True,
            metavar=f"[={what}]",
            help=f"Let the spell {verb}; several with commas, all without a value.",
        )
        for kind, what, verb in (
            ("read", "PATHS", "read these folders and files"),
            ("write", "PATHS", "write these folders and files"),
            ("net", "HOSTS", "reach these hosts"),
        )
    ]
    return [
        click.Option(["--model"], metavar="PROVIDER/MODEL", help="Model of agents that name none."),
        click.Option(
            ["--tools"],
            multiple=True,
            metavar="FILE.py",
            help="Python file or module whose tools become Lua globals.",
        ),
        click.Option(
            ["--state"],
            type=click.Choice(["sqlite", "memory"]),
            help="Where State is kept: the project's .llmspell/, or for this run only.",
        ),
        *grants,
        click.Option(["-A", "--allow-all"], is_flag=True, help="Let the spell do all of that."),
        click.Option(
            ["--json"], is_flag=True, help="Print the result as JSON; print goes to stderr."
        ),
        click.Option(["-v", "--verbose"], is_flag=True, help="Log what the spell does."),
        click.Option(["-q", "--quiet"], is_flag=True, help="No progress display, only errors."),
        click.Option(
            ["--debug"], is_flag=True, help="Log everything; Python tracebacks of errors."
        ),
    ]


def with_values(args: Sequence[str]) -> list[str]:
    """`--allow-read` without a value, as Deno has it, becomes `--allow-read=*`."""
    bare = {f"--allow-{kind}" for kind in KINDS}
    end = args.index("--") if "--" in args else len(args)
    return [f"{a}={EVERYTHING}" if a in bare else a for a in args[:end]] + list(args[end:])


@dataclass(frozen=True)
class RunOptions:
    """The values of the options."""

    model: str | None = None
    tools: tuple[str, ...] = ()
    state: str | None = None
    allow_read: tuple[str, ...] = ()
    allow_write: tuple[str, ...] = ()
    allow_net: tuple[str, ...] = ()
    allow_all: bool = False
    json: bool = False
    verbose: bool = False
    quiet: bool = False
    debug: bool = False

    @property
    def grants(self) -> Grants:
        if self.allow_all:
            return Grants.all()
        return Grants(*(_targets(getattr(self, f"allow_{kind}")) for kind in KINDS))

    def set_up_logging(self) -> None:
        level = logging.WARNING
        if self.verbose or self.debug:
            level = logging.DEBUG if self.debug else logging.INFO
        elif self.quiet:
            level = logging.ERROR
        logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
        logging.getLogger("llmspell").setLevel(level)

    def runtime_arguments(self) -> dict[str, Any]:
        """What of them `Runtime` takes. Raises PluginError, ConfigError."""
        arguments: dict[str, Any] = {"project": find_project(), "grants": self.grants}
        if self.model:
            arguments["model"] = self.model
        if self.state == "memory":
            from llmspell.state import MemoryStore

            arguments["store"] = MemoryStore()
        if self.tools:
            from llmspell.tools.loading import load_module

            arguments["tools"] = [tool for name in self.tools for tool in load_module(name)]
        return arguments


def _targets(given: Iterable[str]) -> tuple[str, ...] | None:
    targets = tuple(part for value in given for part in value.split(",") if part)
    if EVERYTHING in targets:
        return ()
    return targets or None
