from __future__ import annotations

import json
import re
from typing import Literal

from llmspell.bridge import Bridge
from llmspell.child_runs import ChildRun, ChildRuns
from llmspell.config import Project
from llmspell.effects import Effect
from llmspell.errors import InvalidArguments, LlmspellError, SpellFailed, SpellSyntaxError
from llmspell.journal.leaves import beside
from llmspell.limits import read_limits, units
from llmspell.permissions import Grants, Kind, problems_in
from llmspell.spell import Spell, parse_spell
from llmspell.spell_lookup import named_parts, spell_from
from llmspell.values import Value

bridge = Bridge("spell", __file__)

_NAME = re.compile(r"[\w-]+")
_FILE = re.compile(r"[^\n]+\.lua")


@bridge.effect(leaf=False)
async def run(
    effect: Effect,
    spell: str,
    name: str = "spell",
    params: dict[str, Value] | None = None,
    arguments: list[str] | None = None,
    grants: dict[Kind, list[str]] | None = None,
    limits: dict[str, str | float] | None = None,
    state: Literal["project", "memory"] | None = None,
    events: Literal["shared", "own"] | None = None,
) -> Value:
    """Run a spell of the project by name, or from source text, and return its result.

    A source text is not trusted: it is called `name`, runs in a process of its own and, unless
    `state` and `events` say otherwise, has a state that ends with it, and its own event bus.
    """
    lower, problems = read_limits(limits or {})
    if problems:
        raise InvalidArguments("Spell.run", problems, hint=f"limits are {', '.join(units())}")
    wrong = [f"grants.{problem}" for problem in problems_in(grants or {})]
    if not name:
        wrong.append("name: must not be empty")
    if wrong:
        raise InvalidArguments("Spell.run", wrong)
    named = _NAME.fullmatch(spell) is not None
    try:
        if named:
            spell_to_run = spell_from(await beside(effect, "spell", _parts(effect, spell)))
        else:
            spell_to_run = _written(spell, name)
    except SpellFailed:
        raise
    except LlmspellError as error:
        raise SpellFailed(spell if named else name, error) from error
    child = ChildRun(
        spell=spell_to_run,
        params=params or {},
        arguments=arguments or [],
        grants=Grants.from_lists(grants or {}),
        limits=lower,
        own_state=state == "memory" if state else not named,
        own_events=events == "own" if events else not named,
    )
    try:
        return await effect.run[ChildRuns].run(effect, child)
    except SpellFailed as error:
        if error.details["code"] == SpellSyntaxError.code and _FILE.fullmatch(spell):
            raise _no_text(spell, error) from error
        raise


async def _parts(effect: Effect, name: str) -> dict[str, Value]:
    try:
        return named_parts(name, effect.run[Project])
    except LlmspellError as error:
        raise SpellFailed(name, error) from error


def _no_text(file: str, error: SpellFailed) -> SpellFailed:
    """Return the error for a file name passed as the source text of a spell."""
    error.message += f"; {file!r} was taken as source text"
    error.hint = (
        "give the name of a spell in spells/, without .lua, "
        f"or the text of the file: Spell.run(read_file{{path = {json.dumps(file)}}})"
    )
    return error


def _written(source: str, name: str) -> Spell:
    return parse_spell(source.encode(), name=name, file=name, trusted=False)
