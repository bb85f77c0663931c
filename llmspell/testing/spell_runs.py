"""Runs a spell for a test: on a scripted model, with what it touches replaced, and all of it seen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
"""The model of agents that name none, where the project names none either."""


@dataclass
class SpellRun:
    """What came of a run.

    Attributes:
        result: What the spell returned.
        error: What ended it, if it failed.
        printed: The lines that it printed.
        model: The script, and every request that was made of any model it speaks for.
        store: What `State` keeps, as the run left it.
        asked: What people were asked.
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
        """What a scope of `State` holds."""
        return {key: self.store.get(scope, key) for key in self.store.keys(scope)}

    @property
    def output(self) -> str:
        """What it printed, in one text."""
        return "".join(f"{line}\n" for line in self.printed)

    def calls(self, tool: str = "*") -> list[EffectRecord]:
        """The calls of a tool, by models and by the spell itself."""
        return self.recorder.of(f"tool.call:{tool}")


async def run_spell(
    spell: str | Path | Spell,
    *,
    params: Mapping[str, Value] | None = None,
    arguments: Sequence[str] = (),
    catch: bool = False,
    **options: Any,
) -> SpellRun:
    """Run a spell in a runtime of its own; what came of it.

    Args:
        spell: A file, a name, or a spell.
        params: Its parameters.
        arguments: What `arg` holds in it.
        catch: Whether an error is kept in `SpellRun.error`, and not raised.
        **options: As `stage` takes them.

    Raises:
        LlmspellError: What ended the run.
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
    """Run a spell given as text, as `run_spell` does."""
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
    """A runtime that touches nothing, and what its next run comes to.

    Args:
        script: What models say, whatever they are called, in turn; or a function that says it.
            With None nothing is scripted: models are asked where they are, such as a `FakeServer`.
        tools: Functions in place of tools, by name. Others do what they always do.
        state: What `State` holds from the start.
        scopes: What `State.scope(name)` holds, by name.
        grants: What the spell may touch.
        limits: Its limits.
        faults: Effects that fail.
        answers: What people answer; without it, nobody is there.
        lines: What is on standard input.
        project: The project; by default the one around the current folder.
        **runtime: More of what `Runtime` takes. Nothing is recorded and no spell is isolated,
            unless this says so.
    """
    project = project or find_project()
    model = ScriptedProvider(script or (), name="*")
    store, recorder = runtime.pop("store", None) or MemoryStore(), EffectRecorder()
    for scope, entries in {"": state or {}, **(scopes or {})}.items():
        for key, value in entries.items():
            await settled(store.set(scope, key, value))
    run = SpellRun(model, store, recorder)
    record = runtime.pop("record", False)
    # Who is recorded waits for a person, as it does outside of tests.
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
    ) as made:
        stub_tools(made.tools, dict(tools or {}))
        yield made, run


def _text(line: str | bytes) -> str:
    return line if isinstance(line, str) else line.decode("utf-8", "replace")
