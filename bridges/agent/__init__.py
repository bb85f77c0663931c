from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from llmspell.agents import options, snapshot
from llmspell.agents.agent import MAX_STEPS, PARALLEL, RETRIES, Agent, Agents
from llmspell.agents.capabilities import Capability, CapabilityTypes
from llmspell.agents.capabilities.memory import Memory
from llmspell.agents.capabilities.variables import Variables
from llmspell.agents.input import message_from
from llmspell.agents.loop import prompt
from llmspell.agents.streams import Streams
from llmspell.agents.templates import Templates
from llmspell.bridge import Bridge
from llmspell.concurrency import Answer
from llmspell.effects import Effect
from llmspell.errors import AgentError, EffectError, InvalidArguments
from llmspell.journal.leaves import beside
from llmspell.kept import Kept, size_of
from llmspell.limits import Seconds
from llmspell.providers.deserialization import message_from_plain
from llmspell.providers.models import Models
from llmspell.spending.accounts import account_for
from llmspell.spending.reuse import reusable
from llmspell.values import Value

bridge = Bridge("agent", __file__)

C = TypeVar("C", bound=Capability)


@bridge.effect(leaf=False)
def create(
    effect: Effect,
    name: str = "agent",
    model: str | None = None,
    fallback: list[str] | None = None,
    system: str | None = None,
    tools: list[Value] | None = None,
    handoff: list[Value] | None = None,
    output: Value = None,
    temperature: float | None = None,
    top_p: float | None = None,
    max_tokens: int | None = None,
    stop: list[str] | None = None,
    seed: int | None = None,
    reasoning: str | int | None = None,
    cache: bool = True,
    extra_body: dict[str, Value] | None = None,
    max_steps: int = MAX_STEPS,
    max_tool_calls: int | None = None,
    parallel: int = PARALLEL,
    tool_timeout: Seconds | None = None,
    approve: list[str] | None = None,
    retries: int = RETRIES,
    attempts: int = 1,
    context: dict[str, Value] | None = None,
    timeout: Seconds | None = None,
    history: list[Value] | None = None,
    budget: dict[str, str | float] | None = None,
) -> str:
    """Create an agent, and return its id."""
    options.at_least(1, max_steps=max_steps, parallel=parallel, attempts=attempts)
    options.at_least(0, retries=retries, max_tool_calls=max_tool_calls)
    bounds = options.context(context)
    options.check_models(model, fallback or [], bounds)
    asks = {
        "temperature": temperature,
        "top_p": top_p,
        "max_tokens": max_tokens,
        "stop": tuple(stop or ()),
        "seed": seed,
        "reasoning": reasoning,
        "cache": cache,
        "extra_body": extra_body or {},
    }
    successors = options.others(effect.run, handoff or [])
    agent = Agent(
        id=f"agent-{effect.path}",
        name=name,
        model=model,
        fallback=tuple(fallback or ()),
        system=system,
        tools=options.tools(effect.run, tools or [], successors),
        handoff=successors,
        output=options.output(output),
        asks=asks,
        max_steps=max_steps,
        max_tool_calls=max_tool_calls,
        parallel=parallel,
        tool_timeout=tool_timeout,
        approve=tuple(approve or ()),
        retries=retries,
        attempts=attempts,
        context=bounds,
        timeout=timeout,
        history=[message_from_plain(message) for message in history or []],
        account=account_for(effect, budget, f"agent {name!r}", "Agent.create") if budget else None,
    )
    definition = {name: value for name, value in effect.args.items() if name != "history"}
    effect.run[Kept].keep((Agent, agent.id), size_of(definition))
    effect.run[Agents].add(agent, effect.run)
    return agent.id


_OF_LUA = ("description", "capabilities")
"""Options of `Agent.create` that are not arguments of the effect: Lua takes care of them."""


@bridge.effect(repeatable=True)
def template(effect: Effect, name: str) -> dict[str, Value]:
    """The contents of an agent template: {options}, or {source, file} if it is written in Lua."""
    found = effect.run[Templates].find(name)
    if found.is_lua:
        return {"source": found.source, "file": found.shown}
    given = found.options()
    taken = {name: value for name, value in given.items() if name not in _OF_LUA}
    bridge.handlers["agent.create"].signature.bind(taken, target=found.shown)
    _check_models(effect.run[Models], taken, found.shown)
    return {"options": given, "file": found.shown}


def _check_models(models: Models, given: dict[str, Value], target: str) -> None:
    """Reject unknown models, naming the template file in the error."""
    model, fallback = given.get("model"), given.get("fallback", [])
    for name in [*([model] if model is not None else []), *fallback]:
        try:
            models.check(name)
        except EffectError as error:
            raise InvalidArguments(target, [error.message], hint=error.hint) from None


async def _default(effect: Effect) -> str:
    return (await effect.run[Models].default()).model


def _deadline(effect: Effect) -> float | None:
    seconds = effect.bound.get("timeout")
    return effect.run[Agents].find(effect.bound["agent"]).timeout if seconds is None else seconds


def _target(effect: Effect) -> str:
    return f"agent {effect.run[Agents].find(effect.bound['agent']).name!r}"


def _check_response(result: Value) -> None:
    if result is not None and not isinstance(result, Mapping):  # None: a hook skipped the prompt
        raise AgentError(
            "agent.run: the result that a hook gave it must be a table such as {text = …},"
            f" not {result!r}"
        )


@bridge.effect(
    leaf=False,
    deadline=_deadline,
    target=_target,
    check_result=_check_response,
    reusable=reusable,
)
async def run(
    effect: Effect,
    agent: str,
    input: Value = "",
    timeout: Seconds | None = None,  # noqa: ARG001, ASYNC109 - for the middleware deadline
    stream: str | None = None,
) -> dict[str, Value]:
    """Prompt an agent: {text, data, usage, steps, tool_calls, finish_reason, model, …}.

    If `stream` is the id of a stream, its events can be read with `agent.next` meanwhile.
    """
    found = effect.run[Agents].find(agent)
    model = found.model or await beside(effect, "model", _default(effect))
    message = await message_from(effect, input)
    if stream is None:
        return (await prompt(effect, found, message, model=model)).as_plain()
    async with effect.run[Streams].open(stream, effect.path) as events:
        answer = await prompt(effect, found, message, model=model, stream=events)
    return answer.as_plain()


@bridge.effect("next", leaf=False)
def next_events(effect: Effect, stream: str, text: bool = False) -> Answer[list[Value] | None]:
    """The next events of a stream, or with `text` the next pieces of text; nil at the end."""
    return effect.run[Streams].find(stream).take(text=text)


@bridge.effect(leaf=False)
def stop(effect: Effect, stream: str) -> None:
    """Interrupt the prompt of a stream: its request, or the tools being called."""
    effect.run[Streams].find(stream).stop()


@bridge.effect(leaf=False)
def close(effect: Effect, stream: str) -> None:
    """Discard a stream whose prompt failed, or did not start because a hook answered for it."""
    effect.run[Streams].close(stream)


@bridge.effect(leaf=False)
def history(effect: Effect, agent: str) -> list[dict[str, Value]]:
    """An agent's conversation: a list of {role, content}."""
    return [message.as_plain() for message in effect.run[Agents].find(agent).history]


@bridge.effect(leaf=False)
def save(effect: Effect, agent: str) -> dict[str, Value]:
    """An agent's conversation as a table to store: {version, agent, speaker, tokens, messages}."""
    agents = effect.run[Agents]
    found = agents.find(agent)
    speaker = agents.get(found.speaker or "")
    return snapshot.saved(found, speaker.name if speaker else None)


@bridge.effect(leaf=False)
def load(effect: Effect, agent: str, saved: dict[str, Value]) -> None:
    """Continue a saved conversation."""
    found = effect.run[Agents].find(agent)
    snapshot.load(found, saved)
    found.keep_history(effect.run)


@bridge.effect(leaf=False)
async def fork(effect: Effect, agent: str) -> str:
    """Create an agent with the same conversation and capabilities, and return its id."""
    found = effect.run[Agents].find(agent)
    copy = found.fork(f"agent-{effect.path}")
    await copy.capabilities.adopt(found.capabilities, effect)
    effect.run[Agents].add(copy, effect.run)
    return copy.id


@bridge.effect(leaf=False)
def reset(effect: Effect, agent: str) -> None:
    """Clear the conversation."""
    found = effect.run[Agents].find(agent)
    found.begin([])
    found.keep_history(effect.run)


@bridge.effect("with", leaf=False)
async def with_(effect: Effect, agent: str, capabilities: dict[str, Value]) -> None:
    """Add capabilities to an agent: a table from type to settings."""
    found, types = effect.run[Agents].find(agent), effect.run[CapabilityTypes]
    for kind, settings in sorted(capabilities.items()):
        capability = types.make(kind, settings)
        await found.with_capability(capability, effect)
        name = capability.name or kind
        effect.run[Kept].keep((Capability, agent, name), size_of(settings))


@bridge.effect(leaf=False)
async def without(effect: Effect, agent: str, names: list[str]) -> int:
    """Remove capabilities from an agent, by name or type; returns how many were removed."""
    attached = effect.run[Agents].find(agent).capabilities
    before = set(attached)
    removed = sum([await attached.remove(name, effect) for name in names])
    for name in before.difference(attached):
        effect.run[Kept].drop((Capability, agent, name))
    return removed


@bridge.effect(leaf=False)
def capabilities(effect: Effect, agent: str) -> list[dict[str, Value]]:
    """An agent's capabilities, in the order in which they were added: {name, type, tools, …}."""
    return effect.run[Agents].find(agent).capabilities.describe()


@bridge.effect(leaf=False)
def find(
    effect: Effect, capability: str | None = None, name: str | None = None, search: str = ""
) -> list[dict[str, str]]:
    """The run's agents with a capability or name, or that match a search text: {id, name}."""
    matches = effect.run[Agents].search(search, tag=capability)
    return [{"id": a.id, "name": a.name} for a in matches if name in (None, a.name)]


@bridge.effect(leaf=False)
async def remember(effect: Effect, agent: str, note: str, memory: str = "memory") -> None:
    """Add a note to an agent's memory."""
    await _capability(effect, agent, memory, Memory).remember(effect, note)


@bridge.effect(leaf=False)
async def recall(
    effect: Effect, agent: str, words: str = "", most: int = 20, memory: str = "memory"
) -> list[str]:
    """The notes in an agent's memory that contain all of the words, newest first."""
    return await _capability(effect, agent, memory, Memory).recall(effect, words, most)


@bridge.effect(leaf=False)
async def variables(effect: Effect, agent: str, state: str = "state") -> dict[str, Value]:
    """An agent's variables, by name."""
    return await _capability(effect, agent, state, Variables).get(effect)


@bridge.effect(leaf=False)
async def set_variable(
    effect: Effect, agent: str, name: str, value: Value = None, state: str = "state"
) -> None:
    """Set one of an agent's variables, or remove it if there is no value."""
    await _capability(effect, agent, state, Variables).set(effect, name, value)


def _capability(effect: Effect, agent: str, name: str, kind: type[C]) -> C:
    found = effect.run[Agents].find(agent)
    capability = found.capabilities.get(name)
    if not isinstance(capability, kind):
        hint = f"give it one: agent:with{{{kind.type} = {{}}}}"
        raise AgentError(f"agent {found.name!r} has no {kind.type} named {name!r}", hint=hint)
    return capability
