"""Checks and converts the options of `Agent.create`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from llmspell.agents.agent import Agent, Agents
from llmspell.agents.agent_tool import AgentTool
from llmspell.agents.context import Context, Strategy
from llmspell.agents.tool_specs import transfer
from llmspell.effects import Run
from llmspell.errors import InvalidArguments
from llmspell.providers.provider import ModelName
from llmspell.schema import check_schema, schema_of
from llmspell.tools.lua_tool import LuaTool
from llmspell.tools.registry import Tools
from llmspell.tools.tool import Tool
from llmspell.values import LuaFunction, Value

_CALLABLE = re.compile(r"[\w-]{1,64}", re.ASCII)
_LONGEST = 64 - len("transfer_to_")


def at_least(least: int, **numbers: int | None) -> None:
    """Raise InvalidArguments for numbers below `least`; None is allowed."""
    problems = [
        f"{name}: must be at least {least}"
        for name, number in numbers.items()
        if number is not None and number < least
    ]
    if problems:
        raise _wrong(*problems)


def check_models(model: str | None, fallback: Sequence[str], context: Context | None) -> None:
    """Check the models' names: a malformed fallback would otherwise be noticed only when needed."""
    summarises = context.model if context else None
    named = [("model", model), *(("fallback", name) for name in fallback)]
    for option, name in [*named, ("context.model", summarises)]:
        if name is None:
            continue
        try:
            ModelName.parse(name)
        except InvalidArguments as error:
            problems = [f"{option}: {problem}" for problem in error.details["problems"]]
            raise InvalidArguments("Agent.create", problems, hint=error.hint) from None


def tool(run: Run, entry: Value) -> str | Tool:
    """Convert a `tools` entry: a name, {name, description, params, run} or {agent, name, …}."""
    if isinstance(entry, str):
        resolved = run[Tools].find(entry)
        return resolved if "@" in entry else entry  # the model calls a pinned version by its name
    if isinstance(entry, Mapping) and isinstance(entry.get("run"), LuaFunction):
        return _lua_tool(entry)
    if isinstance(entry, Mapping) and isinstance(entry.get("agent"), str):
        _check_fields(entry, ("agent", "name", "description"))
        agent = run[Agents].find(entry["agent"])
        name, description = entry.get("name"), entry.get("description")
        return AgentTool(agent, name=name, description=description or "")
    raise _wrong("tools: each is a tool's name, an agent, or {name, description, params, run}")


_FIELDS = ("name", "description", "params", "run")


def _lua_tool(entry: Mapping[str, Value]) -> LuaTool:
    """Convert a `tools` entry that is a function of the spell."""
    _check_fields({"name": None, **entry}, _FIELDS)
    return LuaTool(
        entry["name"],
        entry["run"],
        description=entry.get("description", ""),
        params=entry.get("params"),
    )


def _check_fields(entry: Mapping[str, Value], known: Sequence[str]) -> None:
    """Check the names of a `tools` entry's fields, and that its texts are strings."""
    problems = [f"tools: {field} is not a field of a tool" for field in entry if field not in known]
    problems += [
        f"tools: a tool's {field} must be a string"
        for field in ("name", "description")
        if field in entry and not isinstance(entry[field], str)
    ]
    if problems:
        raise InvalidArguments("Agent.create", problems, hint=f"a tool has {', '.join(known)}")


def tools(run: Run, entries: list[Value], handoff: Sequence[Agent]) -> tuple[str | Tool, ...]:
    """Convert the entries of `tools`, whose names must be unique, also among handoff tools."""
    resolved = tuple(tool(run, entry) for entry in entries)
    names = [each if isinstance(each, str) else each.name for each in resolved]
    names += [transfer(other) for other in handoff]
    twice = [name for n, name in enumerate(names) if name in names[:n]]
    if twice:
        raise _wrong(f"tools: two are named {twice[0]!r}, and the model tells them apart by name")
    return resolved


def others(run: Run, entries: list[Value]) -> tuple[Agent, ...]:
    """Convert the entries of `handoff`: agents, as {agent = id}."""
    agents = []
    for entry in entries:
        if not (isinstance(entry, Mapping) and isinstance(entry.get("agent"), str)):
            raise _wrong("handoff: each is an agent")
        other = run[Agents].find(entry["agent"])
        if not _CALLABLE.fullmatch(transfer(other)):
            problem = f"handoff: no model can call {other.name!r}: use letters, digits, _ and -"
            raise _wrong(f"{problem}, at most {_LONGEST}")
        agents.append(other)
    if len({other.name for other in agents}) < len(agents):
        raise _wrong(
            "handoff: two of the agents have the same name, and the model tells them apart by name"
        )
    return tuple(agents)


def output(shape: Value) -> dict[str, Any] | None:
    """Convert `output`, a shape, to a JSON Schema."""
    if shape is None:
        return None
    try:
        schema = schema_of(shape)
        check_schema(schema)
    except ValueError as error:
        raise _wrong(f"output: {error}") from error
    return schema


def context(given: dict[str, Value] | None) -> Context | None:
    """Convert `context`: {max_tokens, strategy, keep, model}."""
    if given is None:
        return None
    names = Context.__dataclass_fields__
    problems = [f"context.{n} is not an option" for n in given if n not in names]
    for name, least in (("max_tokens", 1), ("keep", 1)):
        number = given.get(name, least)
        if not isinstance(number, int) or isinstance(number, bool) or number < least:
            problems.append(f"context.{name}: must be a whole number, {least} or more")
    if given.get("strategy", "trim") not in get_args(Strategy):
        problems.append(f"context.strategy: one of {', '.join(get_args(Strategy))}")
    if not isinstance(given.get("model", ""), str):
        problems.append("context.model: must be a string")
    if problems:
        raise _wrong(*problems)
    return Context(**given)


def _wrong(*problems: str) -> InvalidArguments:
    return InvalidArguments("Agent.create", problems)
