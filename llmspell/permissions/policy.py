"""Decides what a spell may do, from the host's grants, saved grants and a person's answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from llmspell.config import Project, python_files
from llmspell.frozen import Frozen
from llmspell.permissions import NOTHING, Grants, Need, Permissions, Reply
from llmspell.permissions.paths import SETTINGS_FILES
from llmspell.permissions.project_code import ProjectCode
from llmspell.permissions.saved_grants import SavedGrants
from llmspell.providers.models import Models
from llmspell.spell import Spell


class PermissionRequest(Frozen):
    """A question to a person.

    Attributes:
        spell: The spell's file, for display.
        by: The tool or effect that needs it; None for requests of the front matter, which cannot be
            answered with "once".
        wanted: The requested grants, with resolved paths.
        lasting: Whether it can be answered with "always".
    """

    spell: str
    by: str | None
    wanted: Grants
    lasting: bool


Ask = Callable[[PermissionRequest], Awaitable[Reply]]


class PermissionPolicy:
    """Creates the permissions of each run."""

    def __init__(
        self, granted: Grants, denied: Grants, *, ask: Ask | None, project: Project, models: Models
    ) -> None:
        self._granted, self._ask, self._models = granted, ask, models
        # The user's own spells may use all tools, and all models unless the host grants certain ones.
        self._usual = Grants(tool=(), llm=() if granted.llm is None else None)
        folder = project.root / ".llmspell"
        # A spell that could write these could grant itself anything. Files with these names are denied
        # anyway, but these paths may be links to files with other names.
        python = python_files(project.settings)
        files = [str(project.root / name) for name in SETTINGS_FILES] + python
        decisive = Grants(write=(str(folder), *files))
        self._denied = denied.merged(decisive)
        beside = dict.fromkeys(Path(file).resolve().parent for file in python)
        self._code = ProjectCode(project.root.resolve(), tuple(beside))
        self._saved = SavedGrants(folder / "grants.json")

    async def permissions(self, spell: Spell, denied: Grants = NOTHING) -> Permissions:
        """Return a run's initial permissions, after asking for those in the spell's front matter.

        `denied` is what this run in particular is denied.
        """
        denied = self._denied.merged(denied)
        questions = _Questions(spell, self._ask, self._saved, self._models)
        granted = self._granted.merged(self._by_default(spell))
        asks = self._ask is not None or not spell.trusted
        ask = questions if asks else None
        code = replace(self._code, spell=spell.path)
        permissions = Permissions(granted, denied, code=code, ask=ask)
        if spell.permissions:
            requested = Grants.from_lists(spell.permissions).resolved()
            missing = requested.beyond(granted).beyond(denied)
            if missing and await questions.granted(missing):
                permissions.grant(missing)
        return permissions

    def _by_default(self, spell: Spell) -> Grants:
        """Return the default grants of the user's own spells; other spells have none."""
        if not spell.trusted:
            return NOTHING
        return self._saved.of(spell.source).merged(self._usual)


class _Questions:
    """Asks a person on behalf of one spell."""

    def __init__(self, spell: Spell, ask: Ask | None, saved: SavedGrants, models: Models) -> None:
        self._spell, self._ask = spell, ask
        self._saved, self._models = saved, models
        self._refused = NOTHING

    async def granted(self, wanted: Grants) -> bool:
        """Return whether the front matter's request is granted; if not, do not ask for it again."""
        if await self._reply(None, wanted) != "no":
            return True
        self._refused = wanted
        return False

    async def __call__(self, by: str, wanted: Grants) -> Reply:
        if not self._spell.trusted and wanted.llm and await self._is_default(wanted):
            return "run"
        return await self._reply(by, wanted) if wanted.beyond(self._refused) else "no"

    async def _is_default(self, wanted: Grants) -> bool:
        """Return whether it is only the default model, which every spell may use."""
        default = await self._models.default()
        return wanted == Grants.of(Need("llm", default.model))

    async def _reply(self, by: str | None, wanted: Grants) -> Reply:
        if self._ask is None:
            return "no"
        spell = self._spell
        reply = await self._ask(PermissionRequest(spell.file, by, wanted, lasting=spell.trusted))
        if reply == "always" and spell.trusted:
            self._saved.add(spell.source, wanted)
        return reply
