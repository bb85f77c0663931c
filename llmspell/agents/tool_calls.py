"""Runs the tool calls of a model's answer concurrently, and returns results and errors."""

from __future__ import annotations

from collections.abc import Sequence

from llmspell.agents.agent import Agent
from llmspell.agents.answer import as_text
from llmspell.agents.streams import Event, Stream
from llmspell.approvals import Approvals, approve
from llmspell.concurrency import gather
from llmspell.effects import Effect
from llmspell.errors import AgentError, EffectError, InvalidArguments, UnknownEffect
from llmspell.providers.messages import Text, ToolCall, ToolResult
from llmspell.suggestions import similar
from llmspell.values import Value, lone_surrogate_in

Record = dict[str, Value]

_OUTCOME = ("result", "error", "where")


async def call_tools(
    effect: Effect, agent: Agent, calls: Sequence[ToolCall], stream: Stream | None
) -> tuple[list[ToolResult], list[Record]]:
    """Run calls; return the results, and a record of each: name, arguments, and result or error.

    The name and the arguments are those with which the tool really ran. An error of a Lua tool has
    its place, `where`. Results, records and events are in the order of the calls, however long each
    takes. Approvals are requested before any call starts.
    """
    batch = _Batch(calls, stream)
    if stream:
        await stream.wait_for_demand()
    # Effects are created in order, so that their paths do not depend on timing.
    allowed = [await _allowed(effect, agent, call) for call in calls]
    await gather([batch.one(n, each) for n, each in enumerate(allowed)], limit=agent.parallel)
    return batch.results, batch.records


async def _allowed(effect: Effect, agent: Agent, call: ToolCall) -> Effect | EffectError:
    """Return the effect of a call, or the error if it is not allowed: an unknown tool, say."""
    if call.name not in agent.tool_names:
        return UnknownEffect("tool", call.name, similar(call.name, agent.tool_names))
    if call.problem is not None:
        return AgentError(f"the arguments cannot be read: {call.problem}")
    if (place := lone_surrogate_in(call.arguments)) is not None:
        problem = f"{place}: half of a surrogate pair is not a character"
        return InvalidArguments(call.name, [problem], hint=r"write both halves: \ud83d\ude00")
    args, what = call.arguments, f"tool.call:{call.name}"
    if agent.wants_approval(call.name) and not effect.run[Approvals].needed(what):
        try:
            args = await approve(effect, what, args)
        except EffectError as error:
            return error
    return effect.child("tool.call", {"name": call.name, "args": args, "agent": agent.id})


class _Batch:
    """The calls of one answer."""

    def __init__(self, calls: Sequence[ToolCall], stream: Stream | None) -> None:
        self._calls, self._stream = calls, stream
        self._done: dict[int, ToolResult] = {}
        self._reported = 0
        self.records: list[Record] = [{"name": c.name, "arguments": c.arguments} for c in calls]
        if stream and calls:
            stream.put(*[_call_event(call) for call in calls])

    @property
    def results(self) -> list[ToolResult]:
        return [self._done[n] for n in range(len(self._calls))]

    async def one(self, number: int, allowed: Effect | EffectError) -> None:
        """Perform a call; an error becomes a result for the model.

        Prompts that are nested too deeply end all of them: each of their models could call again,
        so that the requests would multiply at every level.
        """
        call, record = self._calls[number], self.records[number]
        try:
            if isinstance(allowed, EffectError):
                raise allowed
            record["result"] = value = await _perform(allowed, record)
        except EffectError as error:
            if isinstance(error, AgentError) and "depth" in error.details:
                raise
            record["error"] = error.message
            if error.where:
                record["where"] = error.where
            self._done[number] = failure(call, error)
        else:
            self._done[number] = ToolResult(call.id, (Text(as_text(value)),))
        self._report()

    def _report(self) -> None:
        """Put finished calls into the stream, in order, up to the first unfinished one."""
        while self._reported in self._done:
            call, record = self._calls[self._reported], self.records[self._reported]
            self._reported += 1
            if self._stream:
                outcome: Record = {k: record[k] for k in _OUTCOME if k in record}
                event = {"type": "tool_result", "id": call.id, "name": call.name, **outcome}
                self._stream.put(event)


async def _perform(call: Effect, record: Record) -> Value:
    try:
        return await call.run.perform(call)
    finally:  # a person who approved it, or a hook, may have changed it
        record["name"] = call.args.get("name", record["name"])
        record["arguments"] = call.args.get("args", record["arguments"])


def _call_event(call: ToolCall) -> Event:
    return {"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments}


def failure(call: ToolCall, error: EffectError) -> ToolResult:
    """Return the result of a failed call."""
    hint = f" ({error.hint})" if error.hint else ""
    return ToolResult(call.id, (Text(f"{error.message}{hint}"),), is_error=True)
