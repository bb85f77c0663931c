"""The inputs of a recorded run when it is resumed or replayed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from llmspell.approvals import Approvals
from llmspell.config import Project
from llmspell.effect_paths import BESIDE
from llmspell.errors import NobodyToAsk, NotApproved, ReplayError
from llmspell.human import Person
from llmspell.journal.records import RecordedRun
from llmspell.limits import Budget, Limits, units
from llmspell.permissions import KINDS, NOTHING, Grants
from llmspell.providers.models import Substitutes
from llmspell.spell import Spell, parse_spell
from llmspell.spell_lookup import read_spell
from llmspell.tools.registry import Tools
from llmspell.values import Value


def spell_now(run: RecordedRun, project: Project) -> Spell:
    """Return the current spell of a run, or the recorded one if the file no longer exists.

    It keeps its recorded display name, which recorded errors mention.
    """
    path = Path(run.path) if run.path else None
    if path is None or not path.is_file():
        return spell_then(run)
    spell = read_spell(path, project)
    return replace(spell, file=run.file, trusted=spell.trusted and run.trusted)


def spell_then(run: RecordedRun) -> Spell:
    """Return the spell of a run as it was recorded."""
    spell = parse_spell(run.source, name=run.spell, file=run.file, trusted=run.trusted)
    path = Path(run.path) if run.path else None
    return replace(spell, path=path, folder=path and path.parent)


def params_now(
    run: RecordedRun, spell: Spell, changed: Mapping[str, Value] | None = None
) -> dict[str, Any]:
    """Return the parameters of a run, with changes, without those the spell no longer has.

    Raises ConfigError.
    """
    known = {name: value for name, value in run.params.items() if name in spell.params}
    return spell.bind(known | dict(changed or {}))


def check_tools(run: RecordedRun, tools: Tools, called: set[str] | None = None) -> None:
    """Raise ReplayError if a tool is missing that the run has called; `called` narrows those."""
    missing = {tool["name"] for tool in run.setup["tools"] if tool["name"] not in tools}
    if lacking := sorted(missing and missing & (run.tools if called is None else called)):
        raise ReplayError(
            f"the run {run.id} has called {' and '.join(lacking)}, which does not exist here",
            hint="name its file, as in the original run: --tools FILE.py",
        )


def grants_of(table: Mapping[str, Any]) -> Grants:
    """Deserialize grants from the journal."""
    targets = {kind: table.get(kind) for kind in KINDS}
    return Grants(**{k: None if v is None else tuple(v) for k, v in targets.items()})


def granted_then(run: RecordedRun, spell: Spell) -> Grants:
    """Return what a run was granted, as far as that still holds for the given spell."""
    return grants_of(run.setup["grants"]) if _grants_hold(run, spell) else NOTHING


def denied_then(run: RecordedRun) -> Grants:
    """Return what a run in particular was denied, whatever the settings deny."""
    return grants_of(given_to(run).get("denied") or {})


def approved_then(run: RecordedRun, spell: Spell) -> list[str]:
    """Return what was approved in advance, as far as that still holds."""
    return list(approvals_of(run).given) if _grants_hold(run, spell) else []


async def approve_again(
    journal: Path,
    run: RecordedRun,
    approvals: Approvals,
    person: Person | None,
    *,
    before: float = math.inf,
) -> list[str]:
    """Have imported approvals confirmed here, and return the paths of the approvals.

    Only those among the leaves before the number `before` count.

    Raises:
        JournalError: The journal is damaged.
        NotApproved: The person refused.
        NobodyToAsk: Nobody is available.
    """
    from shlex import quote

    from llmspell.journal.imported_approvals import approved_elsewhere

    recorded = approved_elsewhere(journal, run, before)
    for path, approval in recorded.items():
        what = approval.what
        if approvals.is_given(what):
            continue
        if person is None:
            raise NobodyToAsk(
                f"{what} was approved where the run {run.id} comes from, and there is nobody to approve it here",
                hint=f"resume it on a terminal, or approve it in advance: --approve={quote(what)}",
            )
        decision = await person.decide(approval)
        if not decision.approved or decision.args is not None:
            reason = "it can only be repeated as recorded" if decision.approved else decision.reason
            error = NotApproved(what, reason)
            at = path.rpartition(BESIDE)[0] or path
            error.hint = f"to diverge from there: llmspell fork {run.id} --at {at}"
            raise error
    return list(recorded)


def _grants_hold(run: RecordedRun, spell: Spell) -> bool:
    """Whether recorded grants still hold.

    They must have been given here, and not to the user's own spell if a stranger's replaced it.
    """
    return "ungranted" not in run.setup and (spell.trusted or not run.trusted)


def limits_of(run: RecordedRun) -> Limits:
    """Return the limits for replaying a run; its time limit only if that is what ended it."""
    known = {field.name for field in fields(Limits)}
    kept = {name: value for name, value in run.setup["limits"].items() if name in known}
    limit = (run.error or {}).get("details", {}).get("limit")
    return Limits(**kept if limit == "time" else kept | {"time": 3600.0})


def approvals_of(run: RecordedRun) -> Approvals:
    """Return the approval rules of a run."""
    rules = run.setup["approvals"]
    return Approvals(rules["wanted"], rules["given"])


def models_of(run: RecordedRun) -> Substitutes:
    """Return the model substitutions of a run."""
    return Substitutes(run.setup.get("models", {}))


def limits_then(run: RecordedRun, spell: Spell, usual: Limits) -> dict[str, float]:
    """Return the limits that a run was given; if they do not hold, only those below the usual."""
    given = given_to(run).get("limits") or {}
    given = {name: most for name, most in given.items() if name in units(Limits)}
    if _grants_hold(run, spell):
        return given
    return {name: most for name, most in given.items() if most < getattr(usual, name)}


def budget_then(run: RecordedRun, spell: Spell, usual: Budget) -> dict[str, Any]:
    """Return the amounts that a run was given; if they do not hold, only those below the usual."""
    given: dict[str, Any] = given_to(run).get("budget") or {}
    if _grants_hold(run, spell):
        return given
    amounts = {name: most for name, most in given.items() if isinstance(most, (int, float))}
    return {n: most for n, most in amounts.items() if most < (getattr(usual, n) or math.inf)}


def isolation_then(run: RecordedRun, spell: Spell) -> bool | None:
    """Return whether it was chosen that a run is isolated; if that does not hold, only that it is."""
    chosen: bool | None = given_to(run).get("isolate")
    return chosen if _grants_hold(run, spell) else chosen or None


def model_then(run: RecordedRun) -> str | None:
    """Return the default model that a run was given for its agents; None for the settings' one."""
    return given_to(run).get("model") if "ungranted" not in run.setup else None


def was_in_memory(run: RecordedRun) -> bool:
    """Return whether a run had its state in memory because it was told so."""
    return given_to(run).get("in_memory") is True


def given_to(run: RecordedRun) -> dict[str, Any]:
    """Return the terms that a run was given, which are not from the settings."""
    return run.setup.get("given") or {}


def budget_of(run: RecordedRun) -> Budget:
    return Budget(**run.setup["budget"])
