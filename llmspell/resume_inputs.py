"""What a recorded run is started with when it is done again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from llmspell.approvals import Approvals
from llmspell.config import Project
from llmspell.effect_paths import BESIDE
from llmspell.errors import NobodyToAsk, NotApproved, ReplayError
from llmspell.human import Approval, Person
from llmspell.journal.reader import RecordedRun
from llmspell.limits import Budget, Limits
from llmspell.permissions import KINDS, NOTHING, Grants
from llmspell.providers.models import Substitutes
from llmspell.spell import Spell, parse_spell
from llmspell.spell_lookup import read_spell
from llmspell.tools.registry import Tools
from llmspell.values import Value


def spell_now(run: RecordedRun, project: Project) -> Spell:
    """The spell of a run as its file is now, or as it was recorded if there is no such file.

    It goes by the name of then, which is in what is recorded of its errors.
    """
    path = Path(run.path) if run.path else None
    if path is None or not path.is_file():
        return spell_then(run)
    spell = read_spell(path, project)
    return replace(spell, file=run.file, trusted=spell.trusted and run.trusted)


def spell_then(run: RecordedRun) -> Spell:
    """The spell of a run as it was recorded."""
    spell = parse_spell(run.source, name=run.spell, file=run.file, trusted=run.trusted)
    path = Path(run.path) if run.path else None
    return replace(spell, path=path, folder=path and path.parent)


def params_now(
    run: RecordedRun, spell: Spell, changed: Mapping[str, Value] | None = None
) -> dict[str, Any]:
    """The parameters of a run, some changed, without those which the spell has no more.

    Raises ConfigError.
    """
    known = {name: value for name, value in run.params.items() if name in spell.params}
    return spell.bind(known | dict(changed or {}))


def check_tools(run: RecordedRun, tools: Tools) -> None:
    """Raise ReplayError unless the tools are there that the run has called."""
    missing = {tool["name"] for tool in run.setup["tools"] if tool["name"] not in tools}
    called = sorted(missing and run.tools & missing)
    if called:
        raise ReplayError(
            f"the run {run.id} has called {' and '.join(called)}, which is not there",
            hint="name the file that it is in, as then: --tools FILE.py",
        )


def grants_of(table: Mapping[str, Any]) -> Grants:
    """Grants as they were written down."""
    found = {kind: table.get(kind) for kind in KINDS}
    return Grants(**{k: None if v is None else tuple(v) for k, v in found.items()})


def granted_then(run: RecordedRun, spell: Spell) -> Grants:
    """What a run was granted, as far as it holds when it goes on with that spell."""
    return grants_of(run.setup["grants"]) if _grants_hold(run, spell) else NOTHING


def approved_then(run: RecordedRun, spell: Spell) -> list[str]:
    """What was approved of beforehand, as above."""
    return list(approvals_of(run).given) if _grants_hold(run, spell) else []


async def approve_again(
    run: RecordedRun,
    recorded: Mapping[str, Approval],
    approvals: Approvals,
    person: Person | None,
) -> list[str]:
    """Have what was approved of elsewhere approved of here; the paths of the approvals.

    Raises:
        NotApproved: Somebody refused.
        NobodyToAsk: Nobody is there.
    """
    from shlex import quote

    for path, approval in recorded.items():
        what = approval.what
        if approvals.is_given(what):
            continue
        if person is None:
            raise NobodyToAsk(
                f"{what} was approved of where the run {run.id} comes from, and nobody is here to approve",
                hint=f"resume it on a terminal, or approve beforehand: --approve={quote(what)}",
            )
        decision = await person.decide(approval)
        if not decision.approved or decision.args is not None:
            reason = "it can only be done as recorded" if decision.approved else decision.reason
            error = NotApproved(what, reason)
            at = path.rpartition(BESIDE)[0] or path
            error.hint = f"to take another way from there: llmspell fork {run.id} --at {at}"
            raise error
    return list(recorded)


def _grants_hold(run: RecordedRun, spell: Spell) -> bool:
    """They were given to this run, here, and not to the user's own spell in a stranger's place."""
    return "ungranted" not in run.setup and (spell.trusted or not run.trusted)


def limits_of(run: RecordedRun) -> Limits:
    """The limits of a run that is replayed; of its time, only if that is what ended it."""
    known = {field.name for field in fields(Limits)}
    kept = {name: value for name, value in run.setup["limits"].items() if name in known}
    limit = (run.error or {}).get("details", {}).get("limit")
    return Limits(**kept if limit == "time" else kept | {"time": 3600.0})


def approvals_of(run: RecordedRun) -> Approvals:
    """The rules of a run for approvals."""
    rules = run.setup["approvals"]
    return Approvals(rules["wanted"], rules["given"])


def models_of(run: RecordedRun) -> Substitutes:
    """The models a run asks in place of others."""
    return Substitutes(run.setup.get("models", {}))


def budget_then(run: RecordedRun, spell: Spell, usual: Budget) -> Budget:
    """What a run may spend when it goes on: the usual, but for what it was given.

    What was given elsewhere may only be less.
    """
    given = (run.setup.get("given") or {}).get("budget") or {}
    if _grants_hold(run, spell):
        return replace(usual, **given)
    return usual.lowered({n: most for n, most in given.items() if isinstance(most, (int, float))})


def model_then(run: RecordedRun) -> str | None:
    """The model that agents of a run were given which name none; None for that of the settings."""
    given = run.setup.get("given") or {}
    return given.get("model") if "ungranted" not in run.setup else None


def budget_of(run: RecordedRun) -> Budget:
    return Budget(**run.setup["budget"])
