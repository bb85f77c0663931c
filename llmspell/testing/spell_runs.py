"""Runs spells in tests, with a scripted model, stubbed tools and state, and recorded effects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmspell.approvals import check_rules
from llmspell.concurrency import settled
from llmspell.config import Project, find_project
from llmspell.errors import LlmspellError
from llmspell.human import Approval, Question
from llmspell.limits import Limits
from llmspell.permissions import Grants
from llmspell.providers.messages import ModelRequest
from llmspell.providers.scripted import Reply, ScriptedProvider
from llmspell.runtime import Runtime
from llmspell.spell import Spell, parse_spell
from llmspell.spell_lookup import find_spell
from llmspell.state import MemoryStore
from llmspell.testing.effect_recorder import EffectRecord, EffectRecorder, Fault, FaultInjection
from llmspell.testing.test_doubles import (
    PersonAnswer,
    ScriptedInput,
    ScriptedPerson,
    ToolFunction,
    stub_tools,
)
from llmspell.values import Value

MODEL = "scripted/model"
"""The default model, if neither the agent nor the project names one."""


@dataclass
class SpellRun:
    """The outcome of a run.

    Attributes:
        result: What the spell returned.
        error: The error that ended it, if it failed.
        printed: The lines it printed.
        model: The scripted model, with every request made to any model it stands for.
        store: The store of `State`, as the run left it.
        asked: The questions and approvals that people were asked.
        recorder: Every effect.
    """

    model: ScriptedProvider
    store: MemoryStore
    recorder: EffectRecorder
    result: Value = None
    error: LlmspellError | None = None
    printed: list[str] = field(default_factory=list)
    asked: list[Question | Approval] = field(default_factory=list)

    @property
    def requests(self) -> list[ModelRequest]:
        return self.model.requests

    @property
    def effects(self) -> list[EffectRecord]:
        return self.recorder.done

    def state(self, scope: str = "") -> dict[str, Value]:
        """Return the contents of a scope of `State`."""
        return {key: self.store.get(scope, key) for key in self.store.keys(scope)}

    @property
    def output(self) -> str:
        """What it printed, as one text."""
        return "".join(f"{line}\n" for line in self.printed)

    def calls(self, tool: str = "*") -> list[EffectRecord]:
        """Return the calls of a tool, by models and by the spell itself."""
        return self.recorder.of(f"tool.call:{tool}")


async def run_spell(
    spell: str | Path | Spell,
    *,
    params: Mapping[str, Value] | None = None,
    arguments: Sequence[str] = (),
    catch: bool = False,
    **options: Any,
) -> SpellRun:
    """Run a spell in a runtime of its own, and return the outcome.

    Args:
        spell: A file, a name, or a spell.
        params: Its parameters.
        arguments: The spell's `arg`.
        catch: Whether to store an error in `SpellRun.error` instead of raising it.
        **options: As for `stage`.

    Raises:
        LlmspellError: The error that ended the run, unless `catch` is set.
    """
    async with stage(**options) as (runtime, run):
        if not isinstance(spell, Spell):
            spell = find_spell(str(spell), runtime.project)
        try:
            run.result = await runtime.run(spell, params=params, arguments=arguments)
        except LlmspellError as error:
            run.error = error
            if not catch:
                raise
    return run


async def run_text(source: str, *, name: str = "test", **options: Any) -> SpellRun:
    """Run a spell given as text; otherwise like `run_spell`."""
    return await run_spell(parse_spell(source.encode(), name=name, file=name), **options)


@asynccontextmanager
async def stage(
    *,
    script: Iterable[Reply] | Callable[[ModelRequest], Any] | None = (),
    tools: Mapping[str, ToolFunction] | None = None,
    state: Mapping[str, Value] | None = None,
    scopes: Mapping[str, Mapping[str, Value]] | None = None,
    grants: Grants | None = None,
    limits: Limits | None = None,
    faults: Iterable[Fault] = (),
    answers: Iterable[PersonAnswer] | Callable[[Question | Approval], PersonAnswer] | None = None,
    lines: Iterable[str] = (),
    project: Project | None = None,
    **runtime: Any,
) -> AsyncIterator[tuple[Runtime, SpellRun]]:
    """Yield a runtime that touches nothing outside, and the outcome of its next run.

    Args:
        script: Replies of all models, whatever their name, in turn; or a function that returns
            them. With None, nothing is scripted, and real models or a `FakeServer` are asked.
        tools: Functions in place of tools, by name. Other tools are real.
        state: Initial contents of `State`.
        scopes: Initial contents of `State.scope(name)`, by name.
        grants: What the spell may touch.
        limits: Its limits.
        faults: Effects that fail.
        answers: Answers of people, in turn; by default, nobody is there to answer.
        lines: Lines of standard input.
        project: The project; by default the one around the current folder.
        **runtime: Further arguments for `Runtime`. By default, nothing is recorded and no spell
            is isolated.
    """
    project, faults = project or find_project(), list(faults)
    model = ScriptedProvider(script or (), name="*")
    store, recorder = runtime.pop("store", None) or MemoryStore(), EffectRecorder()
    for scope, entries in {"": state or {}, **(scopes or {})}.items():
        for key, value in entries.items():
            await settled(store.set(scope, key, value))
    run = SpellRun(model, store, recorder)
    record = runtime.pop("record", False)
    # A recorded run may wait for a person, as it does outside of tests.
    person = None if record and answers is None else ScriptedPerson(answers or ())
    if person:
        run.asked = person.asked
    more = runtime.pop("middleware", ())
    async with Runtime(
        project=project,
        model=runtime.pop("model", project.settings.model or MODEL),
        providers=[*([] if script is None else [model]), *runtime.pop("providers", ())],
        store=store,
        grants=grants,
        limits=limits,
        person=person,
        console=ScriptedInput(lines),
        record=record,
        isolate=runtime.pop("isolate", False),
        middleware=[recorder, FaultInjection(faults), *more],
        output=lambda line: run.printed.append(_text(line)),
        **runtime,
    ) as staged:
        check_rules([fault.what for fault in faults], staged.bridges, "the test", "faults")
        stub_tools(staged.tools, dict(tools or {}))
        yield staged, run


def _text(line: str | bytes) -> str:
    return line if isinstance(line, str) else line.decode("utf-8", "replace")
