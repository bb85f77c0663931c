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
        _GrantOption(
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


class GrantingCommand(click.Command):
    """A command with the options of a run."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, with_values(args))


class _GrantOption(click.Option):
    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        return record and (record[0].replace(" [", "["), record[1])


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

    @property
    def narrated(self) -> bool:
        """Whether log lines tell what a progress display would."""
        return self.verbose or self.debug

    @property
    def log_level(self) -> int:
        if self.narrated:
            return logging.DEBUG if self.debug else logging.INFO
        return logging.ERROR if self.quiet else logging.WARNING

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
