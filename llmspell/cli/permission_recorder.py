"""`--record-permissions`: adds the permissions that a run used to its spell's front matter."""

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
    """An observer that keeps the run, to write the permissions it used once it has ended."""

    def __init__(self, spell: Spell) -> None:
        """Raise Misuse for a spell whose file cannot be written."""
        self._shown, self._file = spell.file, _file_of(spell)
        self._run: Run | None = None

    def started(self, effect: Effect) -> None:
        if self._run is None:  # the first effect belongs to the spell itself, not to a child run
            self._run = effect.run

    def finished(self, effect: Effect, seconds: float, error: BaseException | None) -> None:
        """Do nothing; only `started` matters."""

    def write(self, *, quiet: bool) -> None:
        """Add the permissions that were used to the spell's front matter.

        Raises:
            ConfigError: It was changed meanwhile, and is now invalid or cannot be extended.
        """
        from llmspell.permissions.recording import front_matter_file, record

        more = record(self._file, _used(self._run) if self._run else [])
        if quiet:
            return
        written, shown = front_matter_file(self._file), Path(self._shown)
        if written != self._file:
            shown = shown.with_name(written.name)
        if more:
            now = " ".join(flags(Grants.from_lists(more)))
            print(f"{shown} now asks for {now}", file=sys.stderr)
        else:
            print(f"{shown} already asks for all that was used", file=sys.stderr)


def _used(run: Run) -> list[Need]:
    """Return the permissions that were used, except the default model, which needs no grant."""
    default = run[Models].chosen
    free = Need("llm", default.model) if default else None
    return [need for need in run[Permissions].used if need != free]


def _file_of(spell: Spell) -> Path:
    file = spell.path
    if file is None:
        raise Misuse(f"{OPTION} needs a spell in a file", hint="save it first")
    if file in [path.resolve() for path in shipped_spells()]:
        raise Misuse(
            f"{OPTION} does not change spells that come with llmspell",
            hint=f"copy it: cp {file} {file.name}",
        )
    if not os.access(file.parent, os.W_OK):
        raise Misuse(
            f"{OPTION} cannot write to {file.parent}", hint="check the folder's permissions"
        )
    return file
