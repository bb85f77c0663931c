"""`--record-permissions`: what a run used becomes what its spell asks for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from llmspell.cli.error_report import Misuse
from llmspell.effects import Effect, Run
from llmspell.permissions import Grants, Need, Permissions, flags
from llmspell.providers.models import Models
from llmspell.spell import Spell
from llmspell.spell_lookup import shipped_spells

OPTION = "--record-permissions"


class PermissionRecorder:
    """An observer that gets hold of the run, and writes what it used when it has ended."""

    def __init__(self, spell: Spell) -> None:
        """Raise Misuse for a spell whose front matter cannot be written."""
        self._shown, self._file = spell.file, _file_of(spell)
        self._run: Run | None = None

    def started(self, effect: Effect) -> None:
        if self._run is None:  # the first effect is the spell's own; a child's run is another
            self._run = effect.run

    def finished(self, effect: Effect, seconds: float, error: BaseException | None) -> None:
        """Nothing of an effect is looked at."""

    def write(self, *, quiet: bool) -> None:
        """Have the spell ask for what was used.

        Raises:
            ConfigError: Its front matter was changed meanwhile, and is wrong or cannot be added to.
        """
        from llmspell.permissions.recording import record

        more = record(self._file, _used(self._run) if self._run else [])
        if quiet:
            return
        if more:
            print(
                f"{self._shown} now asks for {' '.join(flags(Grants.from_lists(more)))}",
                file=sys.stderr,
            )
        else:
            print(f"{self._shown} asks for all that was used", file=sys.stderr)


def _used(run: Run) -> list[Need]:
    """What was used and has to be granted; the default model does not."""
    default = run[Models].chosen
    free = Need("llm", default.model) if default else None
    return [need for need in run[Permissions].used if need != free]


def _file_of(spell: Spell) -> Path:
    file = spell.path
    if file is None:
        raise Misuse(
            f"{OPTION} writes into the spell's file, and it has none", hint="save it first"
        )
    if file in [path.resolve() for path in shipped_spells()]:
        raise Misuse(
            f"{OPTION} does not change spells that come with llmspell",
            hint=f"copy it: cp {file} {file.name}",
        )
    if not os.access(file.parent, os.W_OK):
        raise Misuse(f"{OPTION} cannot write in {file.parent}", hint="check who may write there")
    return file
