"""Adds the permissions that a run needed to the spell: `llmspell run --record-permissions`."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from stat import S_IMODE

from llmspell.atomic_files import replace_file
from llmspell.errors import ConfigError
from llmspell.permissions import KINDS, Grants, Kind, Need
from llmspell.permissions.front_matter import Asked, PermissionsEditor


def record(spell: Path, needs: Iterable[Need]) -> Asked:
    """Add the fewest permissions that cover the needs to a spell's front matter; return them.

    Existing requests stay. The front matter may be in a spell.toml. The write is atomic.

    Args:
        spell: The spell's file.
        needs: What the run used: resolved paths, and hosts of URLs.

    Raises:
        ConfigError: The front matter is invalid, or in a form that cannot be extended.
        OSError: The file cannot be read or written.
    """
    spell = spell.resolve()
    file = front_matter_file(spell)
    try:
        requested = PermissionsEditor(file.read_bytes(), comment=file == spell)
        more = lacking(requested.asked, needs)
        if more:
            replace_file(file, requested.adding(more), mode=S_IMODE(file.stat().st_mode))
    except ValueError as error:
        hint = "write the permissions there by hand, under [permissions]"
        raise ConfigError(str(file), [f"front matter: {error}"], hint=hint) from error
    return more


def front_matter_file(spell: Path) -> Path:
    """Return the file with a spell's front matter: its own, or a spell.toml."""
    settings = spell.with_name("spell.toml")
    return settings if spell.name == "main.lua" and settings.is_file() else spell


def lacking(asked: Asked, needs: Iterable[Need]) -> Asked:
    """Return the fewest targets to add to `asked` so that it covers the needs.

    Paths below the current folder are relative to it.
    """
    by_kind: dict[Kind, dict[str, Need]] = {}
    for used in needs:
        need = Need(used.kind, f"//{used.target}") if used.kind == "net" else used
        by_kind.setdefault(used.kind, {})[_target(need)] = need
    found = {
        kind: _uncovered(kind, asked.get(kind, []), by_kind[kind])
        for kind in KINDS
        if kind in by_kind
    }
    return {kind: targets for kind, targets in found.items() if targets}


def _uncovered(kind: Kind, asked: list[str], needs: dict[str, Need]) -> list[str]:
    left = dict(needs)
    for target, need in sorted(needs.items()):
        others = [*asked, *(other for other in left if other != target)]
        if Grants.from_lists({kind: others}).allows(need):
            del left[target]
    return sorted(left)


def _target(need: Need) -> str:
    """Return the target with which to request a need."""
    granted = Grants.of(need)[need.kind]
    target = granted[0] if granted else need.target
    if need.kind not in ("read", "write"):
        return target
    with suppress(ValueError):
        target = str(Path(target).relative_to(Path.cwd()))
    return f"./{target}" if target[0] in "~*" else target  # these have a special meaning
