from __future__ import annotations

from typing import Any

from llmspell.agents.agent import Agents
from llmspell.bridge import Bridge
from llmspell.effects import Effect
from llmspell.errors import InvalidArguments
from llmspell.kept import Kept, size_of
from llmspell.limits import Seconds
from llmspell.permissions import Need, Permissions
from llmspell.tools.lua_tool import LuaTool
from llmspell.tools.registry import Tools
from llmspell.tools.tool import Tool
from llmspell.values import LuaFunction, Value

bridge = Bridge("tool", __file__)


def _find(effect: Effect, name: str, agent: str | None) -> Tool:
    """Return the tool of that name, preferring an agent's own one."""
    own = effect.run[Agents].find(agent).own_tool(name) if agent else None
    return own or effect.run[Tools].find(name)


def _bind(effect: Effect) -> dict[str, Any]:
    name, args = effect.args.get("name"), effect.args.get("args")
    if isinstance(name, str) and args and isinstance(args, list):
        found = _find(effect, name, effect.args.get("agent"))
        problem, hint = "takes named arguments, not a list", f"write {found.name}{{name = value}}"
        raise InvalidArguments(found.name, [problem], hint=hint)
    bound = bridge.handlers["tool.call"].signature.bind(effect.args, target="tool.call")
    tool = _find(effect, bound["name"], bound.get("agent"))
    return bound | {"args": tool.bind(bound.get("args") or {})}


def _called(effect: Effect) -> Tool:
    return _find(effect, effect.bound["name"], effect.bound.get("agent"))


def _needs(effect: Effect) -> list[tuple[str, Need]]:
    tool = _called(effect)
    needs = [(tool.name, need) for need in tool.needs(effect.bound["args"])]
    call = Need("tool", tool.name)
    if not tool.declares or effect.run[Permissions].denies(call):
        needs.insert(0, ("the spell", call))
    return needs


def _deadline(effect: Effect) -> float | None:
    """Return the tool's own timeout, or its agent's timeout for tools if that is shorter."""
    timeout, caller = _called(effect).timeout, effect.bound.get("agent")
    limit = effect.run[Agents].find(caller).tool_timeout if caller else None
    return min((s for s in (timeout, limit) if s is not None), default=None)


@bridge.effect(
    bind=_bind,
    needs=_needs,
    deadline=_deadline,
    target=lambda effect: _called(effect).name,
    leaf=lambda effect: _called(effect).leaf,
    repeatable=lambda effect: _called(effect).may_repeat(effect.bound["args"]),
)
async def call(
    effect: Effect, name: str, args: dict[str, Value] | None = None, agent: str | None = None
) -> Value:
    """Call a tool by name with a table of arguments; `agent` is the agent that calls it, if any."""
    return await _find(effect, name, agent).invoke(effect, args or {})


@bridge.effect(leaf=False)
def define(
    effect: Effect,
    name: str,
    run: LuaFunction,
    description: str = "",
    tags: list[str] | None = None,
    params: Value = None,
    timeout: Seconds | None = None,
) -> None:
    """Define a tool of this run from a Lua function."""
    tools = effect.run[Tools]
    if name in tools and not isinstance(tools[name], LuaTool):
        raise InvalidArguments("Tool.define", [f"there is already a tool named {name!r}"])
    tool = LuaTool(
        name, run, description=description, tags=tags or (), params=params, timeout=timeout
    )
    tools.register(name, tool, replace=True)
    effect.run[Kept].keep((LuaTool, name), size_of([name, description, tags, params]))


@bridge.effect("list", leaf=False)
def listing(
    effect: Effect, category: str | None = None, tag: str | None = None, search: str = ""
) -> list[dict[str, Value]]:
    """The tools, filtered by category, tag or search text: like `get`, but without a schema."""
    matches = effect.run[Tools].search(search, category=category, tag=tag)
    return [tool.summary() for tool in matches]


@bridge.effect(leaf=False)
def get(effect: Effect, name: str) -> dict[str, Value]:
    """A tool: {name, version, category, tags, description, touches, schema}."""
    return effect.run[Tools].find(name).describe()
