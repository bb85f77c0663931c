"""Options shared by the commands that run a spell."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import click

from llmspell.cli.grants import grant_options, grants_in, refuse_loose_values, with_values
from llmspell.cli.limits import budget_option, limit_option
from llmspell.config import find_project
from llmspell.frozen import Frozen
from llmspell.permissions import NOTHING, Grants

PARKED_FROM = 10.0
"""Seconds of sleep from which ending the process is worth it."""


def run_options() -> list[click.Option]:
    """Return new instances of the options."""
    return [
        click.Option(
            ["--model"], metavar="PROVIDER/MODEL", help="Model for agents that name none."
        ),
        click.Option(
            ["--tools"],
            multiple=True,
            metavar="FILE.py",
            help="Python file or module whose tools become Lua globals.",
        ),
        click.Option(
            ["--state"],
            type=click.Choice(["sqlite", "memory"]),
            help="Where to keep State: in the project's .llmspell/, or in memory for this run.",
        ),
        click.Option(
            ["--record/--no-record"],
            default=None,
            help="Record the run in the project's .llmspell/ (the default).",
        ),
        click.Option(
            ["--park"],
            is_flag=True,
            help="Exit when the whole run is in a long sleep; `llmspell resume --due` continues it.",
        ),
        *grant_options(),
        click.Option(
            ["--approve"],
            multiple=True,
            metavar="EFFECT",
            help="Approve in advance an effect that needs a person's approval.",
        ),
        limit_option(),
        budget_option(),
        click.Option(
            ["--isolate/--no-isolate"],
            default=None,
            help="Run the spell in a separate process; by default, only if it is not yours.",
        ),
        *output_options(),
    ]


def output_options() -> list[click.Option]:
    """Return new instances of the options about what is shown."""
    return [
        click.Option(
            ["--json"],
            is_flag=True,
            help="Print the result as JSON; the spell's output goes to stderr.",
        ),
        click.Option(["-v", "--verbose"], is_flag=True, help="Log what the spell does."),
        click.Option(["-q", "--quiet"], is_flag=True, help="Show no progress and no cost."),
        click.Option(
            ["--debug"], is_flag=True, help="Log everything, and show Python tracebacks of errors."
        ),
    ]


class GrantingCommand(click.Command):
    """A command with permission options, which may lack a value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, with_values(args, self.params))
        several = [param.name for param in self.params if param.nargs == -1]
        arguments = [value for name in several for value in ctx.params.get(name or "", ())]
        refuse_loose_values(args, self.params, arguments)
        return rest


class RunOptions(Frozen):
    """The parsed options of a run."""

    model: str | None = None
    tools: tuple[str, ...] = ()
    state: str | None = None
    grants: Grants = NOTHING
    denied: Grants = NOTHING
    no_prompt: bool = False
    approve: tuple[str, ...] = ()
    limits: tuple[tuple[str, float], ...] = ()
    budgets: tuple[tuple[str, float], ...] = ()
    isolate: bool | None = None
    record: bool | None = None
    park: bool = False
    json: bool = False
    verbose: bool = False
    quiet: bool = False
    debug: bool = False

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> RunOptions:
        """Create the options from click's values, with the permission options combined."""
        grants, denied = grants_in(values, "allow"), grants_in(values, "deny")
        own = {f.name: values[f.name] for f in fields(cls) if f.name in values}
        return cls(**own, grants=grants, denied=denied)

    @property
    def narrated(self) -> bool:
        """Whether log lines replace the progress display."""
        return self.verbose or self.debug

    @property
    def log_level(self) -> int:
        if self.narrated:
            return logging.DEBUG if self.debug else logging.INFO
        return logging.ERROR if self.quiet else logging.WARNING

    def runtime_arguments(self) -> dict[str, Any]:
        """Return the arguments for `Runtime`. Raises PluginError, ConfigError."""
        arguments: dict[str, Any] = {
            "project": find_project(),
            "grants": self.grants,
            "denied": self.denied,
            "isolate": self.isolate,
            "approved": self.approve,
            "record": self.record,
            "park": PARKED_FROM if self.park else None,
            "limits": dict(self.limits),
            "budget": dict(self.budgets),
        }
        if self.model:
            arguments["model"] = self.model
        if self.state == "memory":
            from llmspell.state import MemoryStore

            arguments["store"] = MemoryStore()
        if self.tools:
            from llmspell.tools.loading import load_module

            arguments["tools"] = [tool for name in self.tools for tool in load_module(name)]
        return arguments
