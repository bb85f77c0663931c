"""Budgets of runs, agents, tasks and children, as spells meet them."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from llmspell import Budget
from llmspell.config import Project, Settings
from llmspell.errors import LimitExceeded, ProviderError, SpellRuntimeError
from llmspell.limits import Limits
from llmspell.middleware import middleware
from llmspell.providers.anthropic_messages import AnthropicMessages
from llmspell.providers.endpoints import Endpoint
from llmspell.providers.messages import Message, ModelResponse, TextDelta, ToolCallDelta, Usage
from llmspell.providers.scripted import ScriptedProvider
from llmspell.providers.settings import ProviderSettings
from llmspell.runtime import Runtime
from llmspell.spending.prices import Price
from llmspell.state import MemoryStore
from llmspell.testing.fakes import FakeServer, stalled

pytestmark = pytest.mark.anyio

# Each answer costs a dollar: a million tokens in.
PRICES = {"scripted/known": Price(0.1, 0.9), "scripted/tariffs": Price(1.0, 2.0, 0.1, 1.25)}
USAGE = Usage(input_tokens=1_000_000, output_tokens=1_000_000)


def answer(text="Fine.", usage=USAGE):
    return ModelResponse(Message.of("assistant", text), usage)


@pytest.fixture
def spend(tmp_path, isolate):
    """Runs Lua that asks `scripted/known`; what it returns, and the runtime."""

    async def run(source, replies=lambda _: answer(), *, prices=PRICES, provider=None, **options):
        project = Project(tmp_path, Settings(prices=prices))
        provider = provider or ScriptedProvider(replies)
        async with Runtime(
            project=project,
            providers=[provider],
            model=f"{provider.name}/known",
            store=MemoryStore(),
            isolate=isolate,
            output=lambda _: None,
            **options,
        ) as runtime:
            run.runtime, run.provider = runtime, provider
            return await runtime.execute(source, name="test.lua")

    return run


ASK = "local function ask() return Agent.create{max_tokens = 1}:prompt('Hi') end\n"


async def test_a_response_says_what_it_cost(spend):
    assert await spend("return select(2, Agent.create{}:prompt('Hi')).usage") == {
        "input_tokens": 1_000_000,
        "output_tokens": 1_000_000,
        "cached_tokens": 0,
        "reasoning_tokens": 0,
        "cache_written_tokens": 0,
        "usd": 1.0,
    }
    assert str(spend.runtime.spent) == "scripted/known: 1 call, 2,000,000 tokens, $1.0000"


async def test_the_cache_has_prices_of_its_own(spend):
    usage = Usage(1_000_000, 100_000, cached_tokens=400_000, cache_written_tokens=200_000)
    source = "return select(2, Agent.create{model = 'scripted/tariffs'}:prompt('Hi')).usage.usd"
    usd = await spend(source, lambda _: answer(usage=usage))
    assert usd == pytest.approx(0.4 * 1.0 + 0.4 * 0.1 + 0.2 * 1.25 + 0.1 * 2.0)


async def test_what_costs_nobody_knows_what_is_nil(spend):
    assert await spend("return select(2, Agent.create{}:prompt('Hi')).usage.usd", prices={}) is None
    assert spend.runtime.spent["scripted/known"].unpriced == 1


async def test_a_provider_that_says_the_price_is_believed(spend):
    usage = Usage(10, 10, usd=0.25)
    source = "return select(2, Agent.create{}:prompt('Hi')).usage.usd"
    assert await spend(source, lambda _: answer(usage=usage)) == 0.25
    assert spend.runtime.spent["scripted/known"].usd == 0.25


async def test_the_steps_of_a_prompt_add_up(spend):
    from llmspell.providers.messages import ToolCall

    call = ModelResponse(
        Message.of("assistant", ToolCall("1", "calculate", {"expression": "1+1"})), USAGE
    )
    source = """
        local _, response = Agent.create{tools = {"calculate"}}:prompt("Hi")
        return response.usage.usd, response.steps
    """
    assert await spend(source, [call, answer()]) == 2.0


@pytest.mark.parametrize(
    ("budget", "limit", "calls"),
    [
        (Budget(usd=2.5), "usd", 3),  # the third is longer than was to be expected
        (Budget(usd=2.0), "usd", 2),
        (Budget(tokens=4_000_000), "tokens", 2),
        (Budget(calls=3), "calls", 3),
    ],
)
async def test_the_budget_of_a_run_ends_it_and_no_pcall_helps(spend, budget, limit, calls):
    source = f"{ASK}for i = 1, 9 do pcall(ask) end"
    with pytest.raises(LimitExceeded) as caught:
        await spend(source, budget=budget)
    error = caught.value
    assert (error.limit, error.exit_code) == (limit, 4)
    assert error.value == getattr(budget, limit)
    assert error.where == "test.lua:2"
    assert error.details["spent"] == {
        "scripted/known": {"calls": calls, "tokens": calls * 2_000_000, "usd": float(calls)}
    }
    assert f"spent on scripted/known: {calls} calls" in error.message
    assert f"--budget {limit}=" in error.hint
    assert len(spend.provider.requests) == calls


async def test_eight_at_once_spend_no_more_than_there_is(spend):
    async def slowly(_):
        await anyio.sleep(0.01)
        return answer(usage=Usage(100, 100))

    source = """
        return Task.map({1, 2, 3, 4, 5, 6, 7, 8}, function()
          return Agent.create{max_tokens = 100}:prompt(("x"):rep(260))
        end)
    """  # 100 tokens of input, and as many of the output
    with pytest.raises(LimitExceeded):
        await spend(source, slowly, budget=Budget(tokens=700))
    assert len(spend.provider.requests) == 3
    assert spend.runtime.spent.total.tokens <= 700
    assert len(await spend(source, slowly, budget=Budget(tokens=1600))) == 8


async def test_those_in_progress_may_come_to_less(spend):
    async def slowly(_):
        await anyio.sleep(0.01)
        return answer(usage=Usage(10, 10))

    source = """
        return #Task.map({1, 2, 3, 4, 5, 6, 7, 8}, function()
          return Agent.create{max_tokens = 400}:prompt("Hi")
        end)
    """
    assert await spend(source, slowly, budget=Budget(tokens=600)) == 8


async def test_the_budget_of_an_agent_is_that_of_its_forks_and_can_be_caught(spend):
    source = """
        local agent = Agent.create{name = "judge", max_tokens = 1, budget = {calls = 2}}
        agent:prompt("One")
        agent:fork():prompt("Two")
        local ok, problem = pcall(agent.prompt, agent, "Three")
        local other = Agent.create{max_tokens = 1}:prompt("Four")
        return {problem.code, problem.message, problem.details.spent["scripted/known"].calls, other}
    """
    code, message, calls, other = await spend(source)
    assert (code, calls, other) == ("budget_exceeded", 2, "Fine.")
    assert message.startswith("the budget of agent 'judge' is used up: ")


async def test_who_takes_a_conversation_over_pays_too(spend):
    from llmspell.providers.messages import ToolCall

    source = """
        local expert = Agent.create{name = "expert", max_tokens = 1, budget = {calls = 1}}
        local clerk = Agent.create{name = "clerk", max_tokens = 1, handoff = {expert}, budget = {calls = 5}}
        clerk:prompt("One")
        local ok, problem = pcall(clerk.prompt, clerk, "Two")
        return {problem.code, problem.message, problem.details.spent["scripted/known"].calls}
    """

    def reply(request):
        if request.tools and len(spend.provider.requests) == 1:
            name = request.tools[0].name
            return ModelResponse(Message.of("assistant", ToolCall("1", name, {})), USAGE)
        return answer()

    code, message, calls = await spend(source, reply)
    assert (code, calls) == ("budget_exceeded", 1)
    assert message.startswith("the budget of agent 'expert' is used up: ")
    assert spend.runtime.spent["scripted/known"].calls == 2


async def test_a_stream_is_not_waited_for(spend):
    """Else a spell that prompts somebody between two pieces could wait for itself."""
    source = """
        local writer = Agent.create{max_tokens = 400}
        local ok, problem
        for piece in writer:stream("Hi") do
          ok, problem = pcall(Task.budget, {tokens = 100}, function()
            for _ in writer:fork():stream("Hi") do end
          end)
          ok, problem = pcall(Agent.create{max_tokens = 400}.prompt, Agent.create{max_tokens = 400}, "Hi")
        end
        return ok
    """
    small = answer("One two three.", Usage(10, 10))
    assert await spend(source, lambda _: small, budget=Budget(tokens=1000)) is True


async def test_budgets_nest(spend):
    source = f"""{ASK}
        local agent = Agent.create{{max_tokens = 1, budget = {{calls = 5}}}}
        local inner, outer
        outer = select(2, pcall(Task.budget, {{calls = 3}}, function()
          inner = select(2, pcall(Task.budget, {{calls = 1}}, function()
            Task.all{{ask}}
            agent:prompt("Hi")
          end))
          agent:prompt("Hi")
          agent:prompt("Hi")
          agent:prompt("Hi")
        end))
        return {{inner.details.value, outer.details.value, (agent:prompt("Hi"))}}
    """
    assert await spend(source) == [1, 3, "Fine."]
    assert spend.runtime.spent["scripted/known"].calls == 4


async def test_a_task_returns_whatever_its_function_does(spend):
    source = """
        local f, n, none = Task.budget({calls = 1}, function() return print, 5, nil end)
        local ok, problem = pcall(Task.budget, {seconds = 60}, function() error({code = "mine"}) end)
        return {f == print, n, none == nil, problem.code}
    """
    assert await spend(source) == [True, 5, True, "mine"]


async def test_seconds_of_a_task_and_of_an_agent(spend):
    async def slowly(_):
        await anyio.sleep(5)

    source = """
        local closed = false
        local ok, problem = pcall(Task.budget, {seconds = 0.05}, function()
          local _ <close> = setmetatable({}, {__close = function() closed = true end})
          Task.sleep(5)
        end)
        local agent = Agent.create{budget = {seconds = "50ms"}}
        local ok, slow = pcall(agent.prompt, agent, "Hi")
        return {problem.code, problem.details.limit, closed, slow.code}
    """
    assert await spend(source, slowly) == ["budget_exceeded", "seconds", True, "budget_exceeded"]
    assert spend.runtime.spent["scripted/known"].calls == 1  # it may have been answered


async def test_seconds_of_a_run(spend):
    with pytest.raises(LimitExceeded, match="its time is up") as caught:
        await spend("pcall(Task.sleep, 9) return 1", budget=Budget(seconds=0.2))
    assert caught.value.limit == "seconds"


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ("Agent.create{budget = {euros = 1}}", "budget.euros: no such limit"),
        ("Agent.create{budget = {usd = -1}}", "budget.usd: must be a number of US dollars above 0"),
        ("Task.budget({tokens = 'many'}, print)", "budget.tokens: must be a whole number above 0"),
        ("Task.budget({memory = 5}, print)", "budget.memory: no such limit"),
        ("Task.budget(5, print)", "argument 1 must be a table, not a number"),
        ("Task.budget({})", "argument 2 must be a function, not a nil"),
    ],
)
async def test_a_budget_that_is_none_is_refused(spend, call, problem):
    with pytest.raises(SpellRuntimeError) as caught:
        await spend(f"local x = {call}")
    assert problem in str(caught.value)


CHILD = (
    'Spell.run("return (Agent.create{max_tokens = 1}:prompt(\'Hi\'))", {grants = {llm = {"*"}}%s})'
)


async def test_children_pay_from_their_parents_budget(spend):
    source = f"for i = 1, 9 do pcall(function() {CHILD % ''} end) end"
    with pytest.raises(LimitExceeded) as caught:
        await spend(source, budget=Budget(calls=3))
    assert caught.value.limit == "calls"
    assert len(spend.provider.requests) == 3
    assert caught.value.where == "test.lua:1"


async def test_a_child_may_have_less(spend):
    less = CHILD % ", limits = {usd = 1e-7}"
    source = f"local ok, problem = pcall(function() {less} end) return problem"
    problem = await spend(source, budget=Budget(usd=50))
    assert problem["details"]["code"] == "limit_exceeded"
    assert problem["details"]["limit"] == "usd"
    assert "the budget of the spell spell is used up" in problem["message"]
    assert "Spell.run(…, {limits = {usd = …}})" in problem["hint"]
    assert spend.provider.requests == []


async def test_a_child_is_inside_the_budget_of_the_task_that_runs_it(spend):
    source = f"""
        local ok, problem = pcall(Task.budget, {{calls = 1}}, function()
          {CHILD % ""}
          {CHILD % ""}
        end)
        return {{problem.code, problem.details.code}}
    """
    assert await spend(source) == ["spell_failed", "budget_exceeded"]


async def test_front_matter_lowers_the_budget_and_never_raises_it(spend, tmp_path, isolate):
    async def run(usd, **options):
        spell = tmp_path / "s.lua"
        spell.write_text(
            f"--- /// spell\n--- [limits]\n--- usd = {usd}\n--- ///\n{ASK}return ask()"
        )
        project = Project(tmp_path, Settings(prices=PRICES))
        provider = ScriptedProvider(lambda _: answer())
        async with Runtime(
            project=project,
            providers=[provider],
            model="scripted/known",
            isolate=isolate,
            **options,
        ) as runtime:
            return await runtime.run(spell)

    with pytest.raises(LimitExceeded) as caught:
        await run("1e-7", budget=Budget(usd=5))
    assert caught.value.hint == "the front matter of s.lua sets it: raise usd there"
    with pytest.raises(LimitExceeded) as caught:
        await run("5", budget=Budget(usd=1e-7))
    assert caught.value.hint.startswith("raise it with --budget usd=")


async def test_an_unknown_price_is_refused_where_there_is_a_budget_of_dollars(spend):
    source = f"{ASK}local ok, problem = pcall(ask) return ok or problem.code"
    assert await spend(source, prices={}, budget=Budget(usd=1)) == "unknown_price"
    assert spend.provider.requests == []
    assert await spend(source, prices={}, budget=Budget(tokens=3_000_000)) is True
    allowed = Budget(usd=1, unknown_price="allow")
    assert await spend(source, prices={}, budget=allowed) is True
    inside = 'local ok, problem = pcall(Agent.create{budget = {usd = 1}}.prompt, Agent.create{budget = {usd = 1}}, "Hi") return ok or problem.code'
    assert await spend(inside, prices={}) == "unknown_price"
    assert await spend(inside, prices={}, budget=Budget(unknown_price="allow")) is True


async def test_the_model_whose_price_is_unknown_is_named(spend):
    source = """
        local agent = Agent.create{extra_body = {models = {"known", "obscure"}}}
        local _, problem = try(agent.prompt, agent, "Hi")
        return problem.message .. " " .. problem.hint
    """
    said = await spend(source, budget=Budget(usd=1))
    assert said.startswith("the price of scripted/obscure is unknown")
    assert '"scripted/obscure" under [prices]' in said


async def test_what_failed_costs_what_it_may_have_cost(spend):
    def cut_off(_):
        error = ProviderError("the connection was lost in the middle of the answer")
        error.billed = True
        return error

    source = f"{ASK}pcall(ask)"
    await spend(source, lambda _: ProviderError("no, not now", status=500))
    assert spend.runtime.spent == {}
    await spend(source, cut_off)
    spent = spend.runtime.spent["scripted/known"]
    assert (spent.calls, spent.unanswered, spent.output_tokens) == (1, 1, 1)
    assert 0 < spent.input_tokens < 20


@pytest.mark.parametrize(
    ("delta", "said"), [(TextDelta("Fi"), "Fi"), (ToolCallDelta(0, "c", "now"), "")]
)
async def test_an_answer_that_failed_once_it_had_begun_counts(spend, delta, said):
    class Breaking(ScriptedProvider):
        async def stream(self, request):
            self.requests.append(request)
            yield delta
            raise ProviderError("no GPU is free", status=503)

    provider = Breaking([])
    source = """
        local seen = ""
        local ok = pcall(function() for piece in Agent.create{}:stream("Hi") do seen = seen .. piece end end)
        return {seen, ok}
    """
    assert await spend(source, provider=provider) == [said, False]
    assert spend.runtime.spent["scripted/known"].calls == 1


async def test_what_failed_is_free_again(spend):
    replies = [ProviderError("no, not now", status=429), *([answer(usage=Usage(1, 1))] * 2)]
    source = f"{ASK}pcall(ask) ask() ask()"
    await spend(source, replies, budget=Budget(calls=2))


async def test_a_refused_grant_costs_nothing(spend):
    from llmspell.permissions import Grants

    await spend(f"{ASK}pcall(ask)", denied=Grants(llm=("*",)), budget=Budget(calls=1))
    assert spend.runtime.spent == {}


async def test_every_attempt_of_a_retry_costs(spend):
    source = """
        local tries = 0
        Hook.on_error("model.request", function()
          tries = tries + 1
          return {type = "retry", delay = 0, attempts = 5}
        end)
        Agent.create{max_tokens = 1}:prompt("Hi")
    """
    late = ProviderError("no answer", retryable=True)
    late.billed = True
    with pytest.raises(LimitExceeded):
        await spend(source, lambda _: late, budget=Budget(calls=3))
    assert len(spend.provider.requests) == 3


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        ({"message": {"role": "assistant", "content": "Kept."}}, "Kept."),
        ({"message": {"role": "assistant", "content": "?"}, "usage": {"euros": 1}}, None),
    ],
)
async def test_middleware_that_answers_in_place_of_a_model_costs_nothing(spend, result, outcome):
    from llmspell.middleware import middleware

    @middleware(effects="model.request", after="permissions")
    async def kept(effect, call_next):
        return dict(result)

    source = f"{ASK}local ok, said = pcall(ask) return ok and said or nil"
    assert await spend(source, middleware=[kept], budget=Budget(usd=1)) == outcome
    assert spend.runtime.spent == {}
    assert spend.provider.requests == []


@pytest.mark.parametrize(
    ("asked", "endpoint", "room"),
    [
        ("max_tokens = 10, reasoning = 'high'", {}, 16_394),
        ("max_tokens = 10", {"extra_body": {"max_tokens": 3000}}, 3000),
    ],
)
async def test_what_a_provider_adds_to_the_bound_of_an_answer_is_reserved_too(
    spend, asked, endpoint, room
):
    source = f"return (Agent.create{{model = 'anthropic/claude-opus-4-5', {asked}}}:prompt('Hi'))"

    async def run(tokens):
        server = FakeServer("Fine.")
        where = Endpoint("anthropic", "https://api.anthropic.com", key="sk-x", **endpoint)
        provider = AnthropicMessages(where, transport=server.transport())
        try:
            return await spend(source, provider=provider, budget=Budget(tokens=tokens)), server
        except LimitExceeded:
            return None, server

    refused, unasked = await run(room)
    assert (refused, unasked.requests) == (None, [])
    said, asked_once = await run(room + 100)
    assert (said, len(asked_once.requests)) == ("Fine.", 1)
    assert asked_once.requests[0].json["max_tokens"] == room


async def test_all_runs_of_a_runtime_are_summed_up_and_have_a_budget_each(tmp_path):
    project = Project(tmp_path, Settings(prices=PRICES))
    provider = ScriptedProvider(lambda _: answer())
    async with Runtime(
        project=project,
        providers=[provider],
        model="scripted/known",
        budget=Budget(calls=1),
        limits=Limits(),
    ) as runtime:
        for _ in range(3):
            await runtime.execute(f"{ASK}return ask()")
        assert runtime.spent.total.calls == 3


async def test_an_answer_whose_usage_nobody_reports_is_not_free(spend):
    with pytest.raises(LimitExceeded, match=r"2 calls \(2 unreported\), 16 tokens"):
        await spend(
            f"{ASK}for _ = 1, 9 do ask() end",
            lambda _: answer(usage=Usage()),
            budget=Budget(tokens=20),
        )
    assert len(spend.provider.requests) == 2


async def sharing(folder, source, provider, **options):
    """What a spell spent whose requests share answers."""
    settings = Settings(
        prices=PRICES, providers={"scripted": ProviderSettings(share=True)}, model="scripted/known"
    )
    given = {"project": Project(folder, settings), "providers": [provider]}
    async with Runtime(**given, **options, store=MemoryStore()) as runtime:
        await runtime.execute(source)
        return runtime.spent["scripted/known"]


async def test_who_shares_the_answer_to_another_request_pays_nothing(tmp_path):

    async def slowly(_):
        await anyio.sleep(0.05)
        return answer()

    source = f"{ASK}Task.map({{1, 2, 3}}, ask)"
    provider = ScriptedProvider(slowly)
    spent = await sharing(tmp_path, source, provider)
    assert len(provider.requests) == 1
    assert (spent.usd, spent.tokens, spent.unanswered) == (1.0, 2_000_000, 0)


@pytest.mark.parametrize("budget", [{"calls": 1}, {"usd": 1.0}, {"tokens": 2_000_000}])
async def test_who_shares_an_answer_needs_no_budget(tmp_path, budget):

    async def slowly(_):
        await anyio.sleep(0.05)
        return answer()

    source = f"{ASK}return Task.map({{1, 2, 3}}, ask)"
    provider = ScriptedProvider(slowly)
    spent = await sharing(tmp_path, source, provider, budget=Budget(**budget))
    assert len(provider.requests) == 1
    assert (spent.calls, spent.usd, spent.tokens) == (1, 1.0, 2_000_000)


@pytest.mark.parametrize("budget", [{"tokens": 3_000_000}, {"calls": 1}])
async def test_who_still_waits_for_a_shared_answer_pays_for_it(tmp_path, budget):

    async def slowly(_):
        await anyio.sleep(0.1)
        return answer()

    source = f"""{ASK}
    Task.all{{
      function() pcall(Task.timeout, 0.03, ask) end,
      function() Task.sleep(0.01) ask() end,
      function() Task.sleep(0.01) pcall(Task.timeout, 0.03, ask) end,
      function() Task.sleep(0.01) ask() end,
    }}"""
    provider = ScriptedProvider(slowly)
    spent = await sharing(tmp_path, source, provider, budget=Budget(**budget))
    assert len(provider.requests) == 1
    assert (spent.calls, spent.usd, spent.tokens, spent.unanswered) == (1, 1.0, 2_000_000, 0)


@pytest.mark.parametrize("budget", ["calls = 1", "usd = 1", "tokens = 2000000"])
async def test_who_cannot_pay_for_a_shared_answer_does_not_have_to(tmp_path, budget):
    """The first caller, which had reserved what the request may cost, pays when it stops waiting."""

    async def slowly(request):
        if request.messages[-1].text == "Hi":
            await anyio.sleep(0.2)
        return answer()

    source = f"""{ASK}
    local poor = Agent.create{{max_tokens = 1, budget = {{{budget}}}}}
    poor:prompt("Something else")
    poor:reset()
    local text, response
    Task.all{{
      function() pcall(Task.timeout, 0.1, ask) end,
      function() Task.sleep(0.05) text, response = poor:prompt("Hi") end,
    }}
    assert(text == "Fine." and response.usage.output_tokens == 0)
    local _, problem = try(poor.prompt, poor, "More")
    assert(problem.details.spent["scripted/known"].calls == 1)
    """
    provider = ScriptedProvider(slowly)
    spent = await sharing(tmp_path, source, provider)
    assert len(provider.requests) == 2
    assert (spent.calls, spent.unanswered) == (2, 1)


async def test_of_two_who_can_pay_for_a_shared_answer_one_does(tmp_path):
    """Both have reserved what it may cost before either of them asks."""

    async def slowly(_):
        await anyio.sleep(0.05)
        return answer()

    @middleware(after="budget", effects="model.request")
    async def late(effect, call_next):
        await anyio.sleep(0.01)
        return await call_next(effect)

    source = f"{ASK}Task.map({{1, 2}}, ask)"
    provider = ScriptedProvider(slowly)
    spent = await sharing(tmp_path, source, provider, middleware=[late])
    assert len(provider.requests) == 1
    assert (spent.calls, spent.usd) == (1, 1.0)


async def test_a_shared_request_that_fails_is_billed_once(tmp_path):

    async def slowly(_):
        await anyio.sleep(0.05)
        error = ProviderError("it broke off")
        error.billed = True
        raise error

    source = f"{ASK}Task.map({{1, 2, 3}}, function() pcall(ask) end)"
    provider = ScriptedProvider(slowly)
    spent = await sharing(tmp_path, source, provider)
    assert len(provider.requests) == 1
    assert (spent.calls, spent.unanswered) == (1, 1)


@pytest.mark.parametrize(("limit", "output"), [(5000, 5000), (1, 2)])
async def test_an_answer_that_is_broken_off_counts_as_what_it_may_have_come_to(
    spend, limit, output
):
    """What the model made beside the pieces, such as thoughts that nobody sees, is billed as well."""

    class Endless(ScriptedProvider):
        async def stream(self, request):
            self.requests.append(request)
            yield TextDelta("One two")
            await anyio.sleep(60)

    source = f"""
        local stream = Agent.create{{max_tokens = {limit}}}:stream("Hi")
        for piece in stream, nil, nil, stream do break end
        local usage = stream:response().usage
        return {{usage.output_tokens, usage.usd == nil}}
    """
    assert await spend(source, provider=Endless([])) == [2, True]
    spent = spend.runtime.spent["scripted/known"]
    assert (spent.calls, spent.unanswered, spent.output_tokens) == (1, 1, output)


async def test_what_is_cancelled_before_it_was_sent_costs_nothing(spend):
    server = FakeServer(stalled("Fine."))
    where = Endpoint("anthropic", "https://api.anthropic.com", key="sk-x", concurrency=1)
    provider = AnthropicMessages(where, transport=server.transport())
    source = """
        pcall(Task.timeout, 0.3, function()
          Task.map({1, 2, 3}, function()
            Agent.create{model = "anthropic/claude-opus-4-5", max_tokens = 100}:prompt("Hi")
          end)
        end)
    """
    await spend(source, provider=provider)
    assert len(server.requests) == 1
    assert spend.runtime.spent.total.calls == 1


@pytest.mark.parametrize("limit", [{"concurrency": 1}, {"requests_per_minute": 1}])
async def test_nor_does_it_where_requests_share_answers(tmp_path, limit):
    server = FakeServer(stalled("Fine."))
    where = Endpoint("anthropic", "https://api.anthropic.com", key="sk-x", **limit)
    provider = AnthropicMessages(where, transport=server.transport())
    settings = Settings(providers={"anthropic": ProviderSettings(share=True)})
    source = """
        pcall(Task.timeout, 0.3, function()
          Task.map({1, 2, 3}, function(n)
            Agent.create{model = "anthropic/claude-opus-4-5", max_tokens = 100}:prompt("Hi " .. n)
          end)
        end)
    """
    async with Runtime(project=Project(tmp_path, settings), providers=[provider]) as runtime:
        await runtime.execute(source)
        assert len(server.requests) == 1
        assert runtime.spent.total.calls == 1


@pytest.mark.parametrize("share", [False, True])
async def test_what_is_cancelled_before_there_is_a_connection_costs_nothing(
    tmp_path, share, monkeypatch
):
    async def connecting(*_, **__):
        await anyio.sleep(60)

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", connecting)
    source = """
        local agent = Agent.create{model = "anthropic/claude-opus-4-5", max_tokens = 100}
        return select(2, pcall(Task.timeout, 0.2, function()
          Task.all{
            function() agent:fork():prompt("Hi") end,
            function() agent:fork():stream("Ho")() end,
          }
        end)).code
    """
    settings = Settings(providers={"anthropic": ProviderSettings(share=share)})
    provider = AnthropicMessages(Endpoint("anthropic", "http://127.0.0.1:9", key="sk-x"))
    async with Runtime(project=Project(tmp_path, settings), providers=[provider]) as runtime:
        assert await runtime.execute(source) == "effect_timeout"
        assert runtime.spent == {}


async def test_who_does_not_wait_for_a_shared_answer_any_more_leaves_the_bill_to_others(tmp_path):
    async def slowly(_):
        await anyio.sleep(0.4)
        return answer()

    source = f"""{ASK}
        Task.all{{
          function() pcall(Task.timeout, 0.1, ask) end,
          function() return ask() end,
        }}
    """
    provider = ScriptedProvider(slowly)
    spent = await sharing(tmp_path, source, provider)
    assert len(provider.requests) == 1
    assert (spent.calls, spent.usd, spent.unanswered) == (1, 1.0, 0)
