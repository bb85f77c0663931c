"""Prepares recorded runs to be run again: resumed, forked or replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from llmspell import resume_inputs
from llmspell.config import Project
from llmspell.human import Person
from llmspell.journal import forking, rerun
from llmspell.journal.journal import Journal
from llmspell.journal.recording import Judge, Recording, Verdict
from llmspell.journal.records import BegunEffect, RecordedRun
from llmspell.providers.provider import ModelName
from llmspell.run_config import RunConfig
from llmspell.runs import Launch, Runs
from llmspell.spell import Spell
from llmspell.tools.registry import Tools
from llmspell.values import Value


class Rerun(NamedTuple):
    """A recorded run that is to be run again.

    Attributes:
        recording: Its recording, which begins with its record.
        launch: What it starts with.
        tools: The tools it had, for a replay; see `Runs.run_recorded`.
    """

    recording: Recording
    launch: Launch
    tools: Sequence[Mapping[str, Any]] = ()


class Reruns:
    """Prepares runs with what the runtime has now. `Runtime` says what each method does and raises."""

    def __init__(
        self,
        runs: Runs,
        journal: Journal,
        run_config: RunConfig,
        project: Project,
        tools: Tools,
        person: Person | None,
    ) -> None:
        self._runs, self._journal, self._run_config = runs, journal, run_config
        self._project, self._tools, self._person = project, tools, person

    async def resume(self, id_: str, unfinished: Verdict | Judge) -> Rerun:
        run = rerun.find(self._journal, id_)
        rerun.check_unended(run)
        spell = resume_inputs.spell_now(run, self._project)
        launch = await self._run_config.launch_again(run, spell)
        resume_inputs.check_tools(run, self._tools)
        approved = await resume_inputs.approve_again(
            self._journal.path, run, launch.approvals, self._person
        )
        return self._resumed(run, launch, approved, unfinished)

    async def fork(
        self,
        id_: str,
        at: str,
        *,
        params: Mapping[str, Value] | None,
        models: Mapping[str, str],
        spell: Spell | None,
    ) -> Rerun:
        for pair in models.items():
            for model in pair:
                ModelName.parse(model)
        run = rerun.find(self._journal, id_)
        then = spell or resume_inputs.spell_now(run, self._project)
        bound = resume_inputs.params_now(run, then, params)
        plan = forking.plan_fork(self._journal, run, at, params=bound, models=models, spell=spell)
        then = replace(then, trusted=then.trusted and plan.run.trusted)
        launch = await self._run_config.launch_again(plan.run, then)
        # The same spell probably calls again what it called after the step.
        called = plan.called if spell else None
        resume_inputs.check_tools(run, self._tools, called)
        approved = await resume_inputs.approve_again(
            self._journal.path, plan.run, launch.approvals, self._person, before=plan.step.number
        )
        forked = rerun.find(self._journal, forking.fork(self._journal, plan))
        return self._resumed(forked, launch, approved, "again")

    def replay(self, id_: str, until: str | None) -> Rerun:
        run = rerun.find(self._journal, id_)
        launch = self._run_config.launch_of(run)
        recording = rerun.replay(self._journal, run, self._runs.chain, until=until)
        return Rerun(recording, launch, run.setup["tools"])

    def _resumed(
        self, run: RecordedRun, launch: Launch, approved: list[str], unfinished: Verdict | Judge
    ) -> Rerun:
        """Return a run that goes on; `approved` are the paths of approvals given again."""

        async def always(_: BegunEffect) -> Verdict:
            return unfinished  # type: ignore[return-value]

        judge = unfinished if callable(unfinished) else always
        beginning = self._runs.beginning(launch)
        recording = rerun.resume(self._journal, run, beginning, judge, approved=approved)
        return Rerun(recording, launch)
