"""The agent loop: ask the model and run the tools it calls, until it answers."""

from __future__ import annotations

from dataclasses import replace

from llmspell.agents.agent import Agent, Agents
from llmspell.agents.answer import Answer, decoded, repair
from llmspell.agents.context import HALF, Conversation, is_too_long
from llmspell.agents.model_calls import ModelCaller
from llmspell.agents.speakers import Speakers
from llmspell.agents.streams import Stream, StreamStopped
from llmspell.agents.tool_calls import Record, call_tools, failure
from llmspell.agents.tool_specs import available, handed_over, specs
from llmspell.effects import Effect
from llmspell.errors import AgentError, ProviderError, UnknownEffect
from llmspell.events import Events
from llmspell.events.lifecycle import publish_lifecycle
from llmspell.kept import Kept, size_of
from llmspell.providers.messages import (
    INTERRUPTED,
    Message,
    ModelRequest,
    ModelResponse,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)
from llmspell.spending.payers import Payers
from llmspell.tools.registry import Tools
from llmspell.values import Value

DEEPEST = 20  # nested prompts, each made by a tool of the one before


async def prompt(
    effect: Effect, agent: Agent, message: Message, *, model: str, stream: Stream | None = None
) -> Answer:
    """Prompt an agent. The message and answer are added to its history only on success.

    `model` is the default for agents that name none; `stream` receives the prompt's events.

    Raises:
        AgentError: Too many steps, or an answer that does not fit the agent's output schema.
        ProviderError: No model could be asked.
    """
    agent.check_not_inside(effect.path)
    _check_depth(effect, agent)
    about = {"agent": agent.name, "run": effect.run.id, "path": effect.path}
    async with agent.lock:
        agent.active.add(effect.path)
        agent.stream = stream
        try:
            with publish_lifecycle(effect.run[Events], "agent", about), Payers(effect) as payers:
                return await _Turn(effect, agent, model, stream, payers).run(message)
        finally:
            agent.active.discard(effect.path)
            agent.stream = None
            effect.run[Speakers].pop(effect.path, None)
            effect.run[Kept].drop((_Turn, effect.path))


def _check_depth(effect: Effect, agent: Agent) -> None:
    """Raise AgentError if prompts are nested too deeply, as when agents call each other."""
    depth = effect.run[Speakers].depth(effect.path)
    if depth >= DEEPEST:
        raise AgentError(
            f"agent {agent.name!r} was prompted inside {depth} other prompts",
            hint="does a tool of an agent lead back to that agent?",
            details={"depth": depth},
        )


class _Turn:
    """One prompt in progress.

    Attributes:
        agent: The agent that was prompted.
        speaker: The agent that speaks: that one, or one the conversation was handed over to.
        last: The model's last response.
        size: The bytes of the prompt's messages.
    """

    def __init__(
        self, effect: Effect, agent: Agent, model: str, stream: Stream | None, payers: Payers
    ) -> None:
        self.effect, self.agent, self.model, self.stream = effect, agent, model, stream
        self.payers = payers
        payers.add(agent.account)
        self.origin = agent.history
        self.conversation = Conversation(list(agent.history), [])
        self.counter = agent.counter.copy()
        self.usage = Usage()
        self.calls: list[Record] = []
        self.failed: list[Value] = []
        self.steps = self.repairs = 0
        self.shortened = False
        self.size = 0
        self.last = ModelResponse(Message("assistant"))
        self._hand_over(effect.run[Agents].get(agent.speaker or "") or agent)

    async def run(self, message: Message) -> Answer:
        self._add(message)
        try:
            answer = await self._run_to_answer()
            if self.stream:
                await self.stream.end()
        except StreamStopped:
            return self._answer(
                replace(self.last, finish_reason=INTERRUPTED), self.last.message.text
            )
        self._store_conversation()
        return answer

    async def _run_to_answer(self) -> Answer:
        while True:
            response = await self._ask()
            calls = response.message.tool_calls
            if calls:
                self._add(Message("tool", tuple(await self._handle_calls(calls))))
            elif answer := self._check_answer(response):
                return answer
            self._refresh_tools()

    def _add(self, message: Message) -> None:
        self.conversation.now.append(message)
        self._keep(self.size + size_of(message))

    def _keep(self, size: int) -> None:
        """Charge the run for the messages of this prompt. Raises LimitExceeded."""
        self.size = size
        self.effect.run[Kept].keep((_Turn, self.effect.path), size)

    def _store_conversation(self) -> None:
        """Store the conversation in the agent after the prompt has succeeded.

        If the agent's conversation was replaced meanwhile, the prompt is appended to the new one.
        """
        agent, run = self.agent, self.effect.run
        shortened = False
        if agent.history is self.origin:
            shortened = self.conversation.before != self.origin
            agent.history[:] = [*self.conversation.before, *self.conversation.now]
            agent.counter = self.counter
        else:
            agent.history += self.conversation.now
            agent.counter.forget()
        agent.speaker = None if self.speaker is agent else self.speaker.id
        run[Kept].drop((_Turn, self.effect.path))
        agent.keep_history(run, added=None if shortened else self.size)

    def _hand_over(self, speaker: Agent) -> None:
        self.speaker = self.effect.run[Speakers][self.effect.path] = speaker
        self.payers.add(speaker.account)
        self._offer_tools()
        models = (speaker.model or self.model, *speaker.fallback)
        self.caller = ModelCaller(
            self.effect, models, attempts=speaker.attempts, stream=self.stream, failed=self.failed
        )

    def _offer_tools(self) -> None:
        """Offer the model the speaker's current tools. Raises UnknownEffect if one does not exist."""
        self.offered = available(self.speaker, self.effect.run[Tools])
        self.tools = specs(self.speaker, self.offered)

    def _refresh_tools(self) -> None:
        """Offer the tools anew if one has changed. The model is told of a removed one if it calls it."""
        try:
            now = available(self.speaker, self.effect.run[Tools])
        except UnknownEffect:
            return
        if now != self.offered:
            self._offer_tools()

    # Asking

    async def _ask(self) -> ModelResponse:
        self._count_step()
        request = await self._fitting_request()
        try:
            response = await self.caller.ask(request, can_shorten=self._can_shorten)
        except ProviderError as error:
            if not self._can_shorten or not is_too_long(error):
                raise
            self.shortened = True
            await self._shorten(int(self.counter.count(request) * HALF))
            request = self._request()
            response = await self.caller.ask(request)
        self.last = response
        self.usage += response.usage
        if self.stream and response.finish_reason == INTERRUPTED:
            await self.stream.wait_for_demand()
        self.counter.report(request, response)
        self._add(response.message)
        return response

    def _count_step(self) -> None:
        agent = self.agent
        if self.steps - self.repairs >= agent.max_steps:
            raise AgentError(
                f"agent {agent.name!r} had no answer after {agent.max_steps} steps",
                hint="raise max_steps, or check what its tools return",
                details={"max_steps": agent.max_steps, "tool_calls": self.calls},
            )
        self.steps += 1
        self._emit("step", number=self.steps, agent=self.speaker.name)

    def _request(self) -> ModelRequest:
        speaker, tools = self.speaker, self.tools
        no_more = speaker.max_tool_calls is not None and len(self.calls) >= speaker.max_tool_calls
        return ModelRequest(
            model=self.caller.model,
            messages=(*self.conversation.before, *self.conversation.now),
            system=speaker.system,
            tools=tools,
            tool_choice="none" if no_more and tools else None,
            output=speaker.output,
            **speaker.asks,
        )

    async def _fitting_request(self) -> ModelRequest:
        """Return the next request, after shortening the conversation if necessary."""
        request, context = self._request(), self.speaker.context
        excess = context.too_many(request, self.counter) if context else 0
        if not excess:
            return request
        await self._shorten(excess)
        return self._request()

    @property
    def _can_shorten(self) -> bool:
        return self.speaker.context is not None and not self.shortened

    async def _shorten(self, tokens: int) -> None:
        if self.speaker.context:
            await self.speaker.context.shorten(
                self.conversation, tokens, self.counter, self._summary
            )
            self._keep(size_of(self.conversation.now))

    async def _summary(self, request: ModelRequest) -> str:
        response = await self.caller.unstreamed(request.model).ask(request)
        self.usage += response.usage
        return response.message.text

    # Tools

    async def _handle_calls(self, calls: list[ToolCall]) -> list[ToolResult]:
        """Run tool calls and handoffs; return the results in the order of the calls."""
        results: dict[int, ToolResult] = {}
        to_do: list[tuple[int, ToolCall]] = []
        next_speaker: Agent | None = None
        for n, call in enumerate(calls):
            other = handed_over(self.speaker, call)
            if other and next_speaker:
                results[n] = failure(
                    call, AgentError("the conversation has already been handed over")
                )
            elif other:
                next_speaker = other
                results[n] = ToolResult(call.id, (Text(f"{other.name} takes over from here."),))
            elif self._too_many(len(to_do)):
                refusal = AgentError("no more tool calls are allowed: answer with what you have")
                results[n] = failure(call, refusal)
            else:
                to_do.append((n, call))
        work = call_tools(self.effect, self.speaker, [call for _, call in to_do], self.stream)
        done = await (self.stream.interruptible(work) if self.stream else work)
        self.calls += done[1]
        results |= {n: result for (n, _), result in zip(to_do, done[0], strict=True)}
        if next_speaker:
            self._hand_over(next_speaker)
            self._emit("handoff", agent=next_speaker.name)
        return [results[n] for n in range(len(calls))]

    def _too_many(self, more: int) -> bool:
        most = self.speaker.max_tool_calls
        return most is not None and len(self.calls) + more >= most

    # Answers

    def _check_answer(self, response: ModelResponse) -> Answer | None:
        """Return the final answer, or None if the model has been asked to repair it."""
        message, schema = response.message, self.speaker.output
        if message.refusal is not None or schema is None:
            return self._answer(response, message.refusal or message.text)
        data, problems = decoded(schema, message.text, response.finish_reason)
        if not problems:
            return self._answer(response, message.text, data)
        self._check_repairs(message.text, problems)
        self._add(repair(problems))
        return None

    def _check_repairs(self, text: str, problems: list[str]) -> None:
        if self.repairs >= self.speaker.retries:
            raise AgentError(
                f"the answer of agent {self.speaker.name!r} does not match its output: "
                f"{'; '.join(problems)}",
                details={"text": text, "problems": problems},
            )
        self.repairs += 1
        self._emit("retry", problems=problems)

    def _answer(self, response: ModelResponse, text: str, data: Value = None) -> Answer:
        self._emit("answer", text=text, data=data)
        return Answer(
            text=text,
            data=data,
            usage=self.usage,
            steps=self.steps,
            tool_calls=self.calls,
            finish_reason=response.finish_reason,
            model=response.model or self.caller.model,
            agent=self.speaker.name,
            failed=self.failed,
        )

    def _emit(self, kind: str, **fields: Value) -> None:
        if self.stream:
            self.stream.put({"type": kind, **fields})
