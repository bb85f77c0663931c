"""The terms on which runs start: permissions, approvals, limits, budgets, isolation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from llmspell.approvals import Approvals, check_rules
from llmspell.bridge import Bridges
from llmspell.config import Project
from llmspell.errors import ConfigError, EffectError, LimitExceeded
from llmspell.isolation.choice import Isolation
from llmspell.limits import Budget, Limits, read_limits, units
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
    limits: Limits | Mapping[str, Any] | None
    budget: Budget | Mapping[str, Any] | None
    isolate: bool | None
    model: str | None = None
    in_memory: bool = False


class RunConfig:
    """Derives the terms of runs from the host's options and the settings of a project."""

    def __init__(
        self, given: HostOptions, project: Project, models: Models, bridges: Bridges
    ) -> None:
        """Use these options; `bridges` have the effects that may need approval.

        Raises:
            ConfigError: A grant or denial can cover nothing, or a limit is invalid.
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
        self._project, self._models, self._bridges = project, models, bridges
        self._usual_limits, self._usual_budget = settings.limits, settings.budget
        self._given_limits = _amounts(given.limits, settings.limits)
        self._given_budget = _amounts(given.budget, settings.budget)
        self._limits = replace(settings.limits, **self._given_limits)
        self._budget = replace(settings.budget, **self._given_budget)
        self._model, self._in_memory = given.model, given.in_memory
        self._isolate, self._usual_isolate = given.isolate, settings.isolate
        self._given = {
            "limits": self._given_limits,
            "budget": self._given_budget,
            "denied": plain(self._denied),
            "isolate": given.isolate,
            "model": given.model,
            "in_memory": given.in_memory,
        }

    def check(self) -> None:
        """Check the names of the default models, and the rules of approval.

        It may be called once all providers and bridges are known.

        Raises:
            ConfigError: One does not exist, or matches nothing.
        """
        file = str(self._project.file or self._project.root)
        settings = self._project.settings
        check_rules(settings.approve.effects, self._bridges, file)
        check_rules(self._approvals.given, self._bridges, "approved in advance", "effects")
        if self._model:
            self._check_model(self._model, "model")
        elif settings.model:
            self._check_model(settings.model, file, "model: ")
        if settings.embedder:
            self._check_model(settings.embedder, file, "embedder: ")

    def _check_model(self, model: str, source: str, key: str = "") -> None:
        """Check that a model's name is well-formed and its provider exists."""
        try:
            self._models.check(model)
        except EffectError as error:
            problems = error.details.get("problems", [error.message])
            problems = [key + problem for problem in problems]
            raise ConfigError(source, problems, hint=error.hint) from error

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
            self._isolation(self._isolate),
            given=self._given,
        )

    async def launch_again(self, run: RecordedRun, spell: Spell) -> Launch:
        """Return the launch of a resumed run; recorded grants, denials and approvals still hold.

        So do the limits, the budget and the isolation that it was given, unless others are now.
        """
        from llmspell import resume_inputs

        params = resume_inputs.params_now(run, spell)
        denied = self._denied.merged(resume_inputs.denied_then(run))
        permissions = await self._policy.permissions(spell, denied)
        permissions.grant(resume_inputs.granted_then(run, spell))
        approvals = self._approvals_of(spell)
        limits = resume_inputs.limits_then(run, spell, self._usual_limits) | self._given_limits
        budget = resume_inputs.budget_then(run, spell, self._usual_budget) | self._given_budget
        isolate = self._isolate_again(run, spell)
        return Launch(
            spell,
            params,
            run.arguments,
            permissions,
            replace(self._usual_limits, **limits).lowered(spell.limits),
            Approvals(
                approvals.wanted, [*approvals.given, *resume_inputs.approved_then(run, spell)]
            ),
            replace(self._usual_budget, **budget).lowered(spell.limits),
            self._isolation(isolate),
            resume_inputs.models_of(run),
            given={
                "limits": limits,
                "budget": budget,
                "denied": plain(denied),
                "isolate": isolate,
                "model": self._model or resume_inputs.model_then(run),
                "in_memory": self._in_memory,
            },
        )

    def _approvals_of(self, spell: Spell) -> Approvals:
        check_rules(spell.approve, self._bridges, spell.file)
        return self._approvals.also(spell.approve)

    def launch_of(self, run: RecordedRun) -> Launch:
        """Return the launch of a recorded run, for a replay."""
        from llmspell import resume_inputs

        spell = resume_inputs.spell_then(run)
        isolate = self._isolate_again(run, spell)
        return Launch(
            spell,
            run.params,
            run.arguments,
            Permissions(
                resume_inputs.grants_of(run.setup["grants"]),
                resume_inputs.grants_of(run.setup["denied"]),
            ),
            resume_inputs.limits_of(run),
            resume_inputs.approvals_of(run),
            resume_inputs.budget_of(run),
            self._isolation(isolate),
            resume_inputs.models_of(run),
        )

    def _isolate_again(self, run: RecordedRun, spell: Spell) -> bool | None:
        """Return whether it was chosen, now or for the recorded run, that it is isolated."""
        from llmspell import resume_inputs

        return resume_inputs.isolation_then(run, spell) if self._isolate is None else self._isolate

    def _isolation(self, chosen: bool | None) -> Isolation:
        return Isolation(self._usual_isolate if chosen is None else chosen)

    def explain(self, error: LimitExceeded, spell: Spell) -> None:
        """If the spell's front matter set the limit, make the error's hint say so."""
        of = self._budget if error.limit in units(Budget) else self._limits
        own = spell.limits.get(error.limit)  # a resumed run may have a lower budget from before
        if own == error.value < (getattr(of, error.limit) or inf):
            error.hint = f"the front matter of {spell.file} sets it: raise {error.limit} there"


def _amounts(given: Any, usual: Limits | Budget) -> dict[str, Any]:
    """Return the amounts that a host gave, by name, instead of the usual ones. Raises ConfigError."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        amounts, problems = read_limits(given, type(usual))
        if problems:
            raise ConfigError("Runtime", problems)
        return amounts
    kind: Any = type(usual)
    if not isinstance(given, kind):
        name = kind.__name__
        raise ConfigError("Runtime", [f"{name.lower()}: pass {name}(…) or a dict, not {given!r}"])
    every = {one.name: getattr(given, one.name) for one in fields(usual)}
    # Only what is unlimited by default may be None.
    named = {
        n: most
        for n, most in every.items()
        if n in units(kind) and (most is not None or getattr(kind, n) is not None)
    }
    amounts, problems = read_limits(named, kind)
    if problems:
        raise ConfigError("Runtime", problems)
    # An amount that is None was not named, unless that lifts a usual one.
    return {
        n: amounts.get(n, most)
        for n, most in every.items()
        if most is not None or getattr(usual, n)
    }
