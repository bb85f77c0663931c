"""The terms on which runs start: permissions, approvals, limits, budgets, isolation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from llmspell.approvals import Approvals, check_rules
from llmspell.bridge import Bridges
from llmspell.config import Project
from llmspell.errors import ConfigError, LimitExceeded
from llmspell.limits import Budget, Limits, units
from llmspell.permissions import Grants, Permissions, problems_in
from llmspell.permissions.policy import Ask, PermissionPolicy
from llmspell.providers.models import Models
from llmspell.runs import Launch
from llmspell.spell import Spell
from llmspell.values import Value, plain

if TYPE_CHECKING:
    from llmspell.journal.records import RecordedRun


class HostOptions(NamedTuple):
    """The options of the host, see `Runtime`; they override the settings of the project."""

    grants: Grants
    denied: Grants
    ask: Ask | None
    approved: tuple[str, ...]
    limits: Limits | None
    budget: Budget | None
    isolate: bool | None
    model: str | None = None


class RunConfig:
    """Derives the terms of runs from the host's options and the settings of a project."""

    def __init__(
        self, given: HostOptions, project: Project, models: Models, bridges: Bridges
    ) -> None:
        """Use these options; `bridges` have the effects that may need approval.

        Raises:
            ConfigError: A grant or denial can cover nothing.
        """
        settings = project.settings
        for name, grants in (("grants", given.grants), ("denied", given.denied)):
            if problems := problems_in(grants.as_lists()):
                raise ConfigError("Runtime", [f"{name}.{problem}" for problem in problems])
        self._policy = PermissionPolicy(
            settings.permissions.merged(given.grants),
            settings.permissions.deny.merged(given.denied),
            ask=given.ask,
            project=project,
            models=models,
        )
        self._denied = given.denied.resolved()
        self._approvals = Approvals(settings.approve.effects, given.approved)
        self._project, self._bridges = project, bridges
        self._limits = given.limits or settings.limits
        self._budget = given.budget or settings.budget
        self._settings_budget, self._model = settings.budget, given.model
        self._isolate = settings.isolate if given.isolate is None else given.isolate

    async def launch(
        self, spell: Spell, params: Mapping[str, Value], arguments: Sequence[str]
    ) -> Launch:
        """Return the launch of a new run.

        Raises:
            ConfigError: A parameter is invalid, or a rule of approval.
        """
        return Launch(
            spell,
            spell.bind(params),
            list(arguments),
            await self._policy.permissions(spell),
            self._limits.lowered(spell.limits),
            self._approvals_of(spell),
            self._budget.lowered(spell.limits),
            given=self._to_keep(self._budget, self._denied),
        )

    async def launch_again(self, run: RecordedRun, spell: Spell) -> Launch:
        """Return the launch of a resumed run; recorded grants, denials and approvals still hold.

        So does the recorded budget, unless one is given now.
        """
        from llmspell import resume_inputs

        params = resume_inputs.params_now(run, spell)
        denied = self._denied.merged(resume_inputs.denied_then(run))
        permissions = await self._policy.permissions(spell, denied)
        permissions.grant(resume_inputs.granted_then(run, spell))
        approvals = self._approvals_of(spell)
        budget = resume_inputs.budget_then(run, spell, self._settings_budget)
        budget = replace(budget, **_differences(self._budget, self._settings_budget))
        return Launch(
            spell,
            params,
            run.arguments,
            permissions,
            self._limits.lowered(spell.limits),
            Approvals(
                approvals.wanted, [*approvals.given, *resume_inputs.approved_then(run, spell)]
            ),
            budget.lowered(spell.limits),
            resume_inputs.models_of(run),
            given=self._to_keep(budget, denied, resume_inputs.model_then(run)),
        )

    def _approvals_of(self, spell: Spell) -> Approvals:
        wanted, source = self._approvals.wanted, str(self._project.file or "the settings")
        check_rules(wanted, self._bridges, source)
        check_rules(spell.approve, self._bridges, spell.file)
        return self._approvals.also(spell.approve)

    def _to_keep(self, budget: Budget, denied: Grants, model: str | None = None) -> dict[str, Any]:
        """Return the terms that are not from the settings, which the journal keeps for a resume."""
        return {
            "budget": _differences(budget, self._settings_budget),
            "denied": plain(denied),
            "model": self._model or model,
        }

    def isolates(self, spell: Spell) -> bool:
        """Whether the spell runs in a process of its own."""
        return not spell.trusted if self._isolate is None else self._isolate

    def explain(self, error: LimitExceeded, spell: Spell) -> None:
        """If the spell's front matter set the limit, make the error's hint say so."""
        of = self._budget if error.limit in units(Budget) else self._limits
        own = spell.limits.get(error.limit)  # a resumed run may have a lower budget from before
        if own == error.value < (getattr(of, error.limit) or inf):
            error.hint = f"the front matter of {spell.file} sets it: raise {error.limit} there"


def _differences(budget: Budget, default: Budget) -> dict[str, Any]:
    """Return the amounts of a budget that differ from the default."""
    amounts = asdict(budget)
    return {name: most for name, most in amounts.items() if most != getattr(default, name)}


def launch_of(run: RecordedRun) -> Launch:
    """Return the launch of a recorded run, for a replay."""
    from llmspell import resume_inputs

    return Launch(
        resume_inputs.spell_then(run),
        run.params,
        run.arguments,
        Permissions(
            resume_inputs.grants_of(run.setup["grants"]),
            resume_inputs.grants_of(run.setup["denied"]),
        ),
        resume_inputs.limits_of(run),
        resume_inputs.approvals_of(run),
        resume_inputs.budget_of(run),
        resume_inputs.models_of(run),
    )
