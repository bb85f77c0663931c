"""Agents from Lua, on the scripted model."""

import os

import anyio
import pytest

from llmspell import Modify, tool
from llmspell.errors import AgentError, ProviderError, SpellRuntimeError, UnknownEffect
from llmspell.permissions import Grants
from llmspell.providers.messages import ToolCall
from llmspell.providers.scripted import ScriptedProvider
from llmspell.values import plain

pytestmark = pytest.mark.anyio


@pytest.fixture
def script(new_runtime):
    """Runs Lua with a model that says these things; the result and what it was asked."""

    async def run(source, replies, **options):
        provider = ScriptedProvider(replies)
        options = {"model": "scripted/m", "providers": [provider], **options}
        async with new_runtime(**options) as runtime:
            return await runtime.execute(source, name="test.lua"), provider.requests

    return run


async def test_a_prompt_is_answered(script):
    result, (request,) = await script(
        """
        local agent = Agent.create{system = "Be brief.", temperature = 0.5, max_tokens = 9}
        local text, response = agent:prompt("Hello?")
        return {text, response.text, response.finish_reason, response.steps, response.model,
                response.usage.output_tokens, agent:history()}
        """,
        ["Hi."],
    )
    assert result[:5] == ["Hi.", "Hi.", "stop", 1, "scripted/m"]
    assert result[5] == 1
    assert result[6] == [
        {"role": "user", "content": "Hello?"},
        {"role": "assistant", "content": "Hi."},
    ]
    assert request.system == "Be brief."
    assert (request.temperature, request.max_tokens) == (0.5, 9)


async def test_the_conversation_goes_on_forks_and_resets(script):
    result, requests = await script(
        """
        local a = Agent.create{}
        a:prompt("one")
        local b = a:fork()
        a:prompt("two")
        b:prompt("three")
        a:reset()
        a:prompt("four")
        return {#a:history(), #b:history()}
        """,
        ["1", "2", "3", "4"],
    )
    assert result == [2, 4]
    assert [len(r.messages) for r in requests] == [1, 3, 3, 1]


async def test_a_given_history_is_gone_on_with(script):
    _, (request,) = await script(
        """Agent.create{history = {{role = "user", content = "a"},
                                   {role = "assistant", content = "b"}}}:prompt("c")""",
        ["d"],
    )
    assert [m.text for m in request.messages] == ["a", "b", "c"]


async def test_tools_are_called_and_their_results_given_back(script):
    result, requests = await script(
        """
        local agent = Agent.create{tools = {"add", {
          name = "shout",
          description = "Make it loud.",
          params = {text = "string"},
          run = function(args) return probe("echo", {value = args.text:upper()}) end,
        }}}
        local text, response = agent:prompt("go")
        return {text, response.tool_calls, response.steps}
        """,
        [
            [ToolCall("1", "add", {"a": 2, "b": 3}), ToolCall("2", "shout", {"text": "hey"})],
            "done",
        ],
    )
    assert result[0] == "done"
    assert result[1] == [
        {"name": "add", "arguments": {"a": 2, "b": 3}, "result": 5},
        {"name": "shout", "arguments": {"text": "hey"}, "result": "HEY"},
    ]
    assert result[2] == 2
    assert [t.name for t in requests[0].tools] == ["add", "shout"]
    assert requests[0].tools[0].schema["required"] == ["a"]
    results = requests[1].messages[-1].content
    assert [(r.id, r.content[0].text) for r in results] == [("1", "5"), ("2", "HEY")]


async def test_tool_calls_of_one_answer_run_at_the_same_time(script):
    together = anyio.Event()
    waiting = []

    @tool
    async def meet(name: str) -> str:
        """Wait for the other one."""
        waiting.append(name)
        if len(waiting) == 2:
            together.set()
        await together.wait()
        return name

    with anyio.fail_after(5):
        result, _ = await script(
            "return (Agent.create{tools = {'meet'}}:prompt('go'))",
            [[ToolCall("1", "meet", {"name": "a"}), ToolCall("2", "meet", {"name": "b"})], "met"],
            tools=[meet],
        )
    assert result == "met"


async def test_an_error_in_a_lua_tool_has_its_line(script):
    result, requests = await script(
        """
        Tool.define{name = "fails", run = function()
            error("no luck")
        end}
        local agent, failed = Agent.create{tools = {"fails"}}, nil
        for event in agent:events("go") do
            if event.type == "tool_result" then failed = event end
        end
        return {failed, select(2, agent:prompt("again")).tool_calls[1]}
        """,
        [ToolCall("1", "fails", {}), "sorry"] * 2,
    )
    assert [(call["error"], call["where"]) for call in result] == [("no luck", "test.lua:3")] * 2
    (told,) = requests[1].messages[-1].content
    assert told.content[0].text == "no luck"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (ToolCall("1", "add", {"a": "x"}), "a: input should be a valid integer"),
        (ToolCall("1", "nothing", {}), "no tool named 'nothing'"),
        (ToolCall("1", "add", {}, problem="no JSON", raw="{"), "the arguments cannot be read"),
        (ToolCall("1", "breaks", {}), "out of order"),
        (ToolCall("1", "read_file", {"path": "/etc/passwd"}), "may not read"),
    ],
)
async def test_what_goes_wrong_with_a_tool_is_told_to_the_model(script, call, said):
    @tool
    async def breaks() -> None:
        """Fails."""
        raise RuntimeError("out of order")

    result, requests = await script(
        """
        local text, response = Agent.create{tools = {"breaks", "add", "read_file"}}:prompt("go")
        return {text, response.tool_calls[1].error}
        """,
        [call, "sorry"],
        tools=[breaks, tool(name="add")(_add)],
    )
    (answer,) = requests[1].messages[-1].content
    assert answer.is_error
    assert said in answer.content[0].text
    assert result[0] == "sorry"
    assert said in result[1]


async def _add(a: int, b: int = 1) -> int:
    """Add."""
    return a + b


async def test_an_agent_that_never_answers_is_stopped(script):
    with pytest.raises(SpellRuntimeError) as caught:
        await script(
            "return (Agent.create{tools = {'add'}, max_steps = 3}:prompt('go'))",
            lambda _: ToolCall("", "add", {"a": 1}),
        )
    assert isinstance(caught.value.cause, AgentError)
    assert "3 steps" in caught.value.message
    assert "max_steps" in caught.value.hint


async def test_a_failed_prompt_leaves_no_trace_in_the_history(script):
    result, _ = await script(
        """
        local agent = Agent.create{}
        agent:prompt("first")
        local ok, e = pcall(agent.prompt, agent, "second")
        return {ok, e.code, e.details.status, e.retryable, #agent:history(), (agent:prompt("third"))}
        """,
        ["1", ProviderError("no", status=429, retryable=True), "3"],
    )
    assert result == [False, "provider_error", 429, True, 2, "3"]


async def test_structured_output_is_decoded_and_checked(script):
    source = """
        local agent = Agent.create{
          output = {winner = "integer", why = "string?", list = {"number"}}, retries = 0,
        }
        local data, response = agent:prompt("go")
        return {data, response.data, response.text}
    """
    answer = '{"winner": 2, "list": [1.5]}'
    result, (request,) = await script(source, [answer])
    assert result == [{"winner": 2, "list": [1.5]}] * 2 + [answer]
    assert request.output["properties"]["winner"] == {"type": "integer"}
    assert request.output["required"] == ["list", "winner"]
    for wrong in (
        "nonsense",
        '{"winner": "two", "list": []}',
        "[]",
        '{"winner": 2, "list": [NaN]}',
        '{"winner": 2, "list": [Infinity, 1e999]}',
    ):
        with pytest.raises(SpellRuntimeError) as caught:
            await script(source, [wrong])
        assert isinstance(caught.value.cause, AgentError)
        assert caught.value.cause.details["text"] == wrong


async def test_an_agent_is_a_tool_of_another(script):
    result, requests = await script(
        """
        local expert = Agent.create{name = "expert", system = "You know it all."}
        local boss = Agent.create{name = "boss", tools = {expert}}
        return {(boss:prompt("ask")), #expert:history()}
        """,
        [ToolCall("1", "expert", {"input": "why?"}), "because", "so: because"],
    )
    assert result == ["so: because", 0]
    assert requests[1].system == "You know it all."
    assert requests[1].messages[0].text == "why?"


@pytest.mark.parametrize(
    ("answer", "result", "error"),
    [
        ("Hook.replace{text = 'no'}", "no", None),
        ("Hook.replace{data = {n = 1}}", {"n": 1}, None),
        ("Hook.skip()", None, None),
        ("Hook.replace('no')", None, "must be a table"),
    ],
)
async def test_a_hook_answers_for_an_agent_that_is_a_tool(script, answer, result, error):
    call, _ = await script(
        f"""
        local expert = Agent.create{{name = "expert"}}
        local boss = Agent.create{{name = "boss", tools = {{expert}}}}
        Hook.before("agent.run", function(call)
          if call.args.agent ~= boss.id then return {answer} end
        end)
        local _, response = boss:prompt("ask")
        return response.tool_calls[1]
        """,
        [ToolCall("1", "expert", {"input": "why?"}), "so"],
    )
    assert call.get("result") == result
    assert (error or "") in call.get("error", "")
    assert ("error" in call) == bool(error)


async def test_an_agent_cannot_wait_for_itself(script):
    result, _ = await script(
        """
        local agent
        agent = Agent.create{tools = {{name = "again", params = {}, run = function()
          return (agent:prompt("inside"))
        end}}}
        local _, response = agent:prompt("outside")
        return response.tool_calls[1].error
        """,
        [ToolCall("1", "again", {}), "fine"],
    )
    assert "prompted by its own tool" in result


@pytest.mark.parametrize(
    "tool_of_b",
    [
        "a",
        "{name = 'a', params = {input = 'string'}, run = function() return a:fork():execute('x').text end}",
    ],
)
async def test_agents_that_are_each_others_tools_come_to_an_end(script, tool_of_b):
    """At once, although each model would call again whatever it is told."""
    requests = []

    def reply(request):
        requests.append(request)
        return ToolCall("1", request.tools[0].name, {"input": "x"})

    with pytest.raises(SpellRuntimeError, match="was prompted inside 20 other prompts"):
        await script(
            f"""
            local a, b = Agent.create{{name = "a"}}, Agent.create{{name = "b"}}
            a:with{{tools = {{tools = {{b}}}}}}
            b:with{{tools = {{tools = {{{tool_of_b}}}}}}}
            a:prompt("x")
            """,
            reply,
        )
    assert len(requests) == 20


async def test_a_conversation_that_is_forgotten_meanwhile_stays_forgotten(script):
    result, _ = await script(
        """
        local agent
        agent = Agent.create{tools = {{name = "forget", params = {}, run = function()
          agent:reset()
          return "done"
        end}}}
        agent:prompt("My name is Ada.")
        agent:prompt("Forget me.")
        return agent:history()
        """,
        ["Hello.", ToolCall("1", "forget", {}), "I have."],
    )
    assert [m["role"] for m in result] == ["user", "assistant", "tool", "assistant"]
    assert result[0]["content"] == "Forget me."


async def test_prompts_of_one_agent_take_turns(script):
    _, requests = await script(
        """
        local agent = Agent.create{}
        Task.map({"a", "b", "c"}, function(s) agent:prompt(s) end)
        """,
        ["1", "2", "3"],
    )
    assert [len(r.messages) for r in requests] == [1, 3, 5]


async def test_a_prompt_has_a_timeout(script):
    async def slowly(_):
        await anyio.sleep(10)

    result, _ = await script(
        """
        local agent = Agent.create{timeout = 0.02}
        local ok, e = pcall(agent.prompt, agent, "go")
        local ok2, e2 = pcall(agent.prompt, Agent.create{name = "judge"}, "go", {timeout = 0.02})
        return {e.code, e2.code, e.message, e2.message}
        """,
        slowly,
    )
    late = "agent {!r} took more than 0.02 seconds"
    names = ("agent", "judge")
    assert result == ["effect_timeout", "effect_timeout", *[late.format(name) for name in names]]


async def test_the_builder_and_execute(script):
    result, (request,) = await script(
        """
        local agent = Agent.builder():name("b"):model("scripted/other"):system_prompt("s")
          :temperature(0):tool("add"):build()
        return agent:execute{text = "hi"}.text
        """,
        ["hello"],
    )
    assert result == "hello"
    assert (request.model, request.system, request.temperature) == ("scripted/other", "s", 0)
    assert [t.name for t in request.tools] == ["add"]


async def test_tables_and_attachments_are_inputs(script):
    _, requests = await script(
        """
        local agent = Agent.create{}
        agent:prompt({"answer one", "answer two"})
        agent:prompt({text = "look", attachments = {"https://example.com/cat.png"}})
        """,
        ["1", "2"],
    )
    assert requests[0].messages[0].text == '["answer one", "answer two"]'
    text, image = requests[1].messages[-1].content
    assert (text.text, image.url) == ("look", "https://example.com/cat.png")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("Agent.create{tools = {'nope'}}", "no tool named 'nope'"),
        ("Agent.create{tools = {42}}", "each is a tool's name"),
        (
            "Agent.create{tools = {{name = 'x y', run = print, params = {}}}}",
            "not a valid name for a tool",
        ),
        (
            "Agent.create{tools = {{name = 'x', run = print, params = {a = 'strin'}}}}",
            "unknown type",
        ),
        ("Agent.create{tools = {{run = print}}}", "a tool's name must be a string"),
        (
            "Agent.create{tools = {{name = 'x', run = print, parms = {}}}}",
            "parms is not a field of a tool",
        ),
        (
            "Agent.create{tools = {Agent.create{}:as_tool{nme = 'x'}}}",
            "nme is not a field of a tool",
        ),
        (
            "Agent.create{tools = {Agent.create{}:as_tool{name = 5}}}",
            "a tool's name must be a string",
        ),
        ("Agent.create{tools = {calculate = true}}", "tools: input should be a valid list"),
        ("Agent.create{tools = {'uuid', nil, 'calculate'}}", "tools: input should be a valid list"),
        ("Agent.create{}:with{tools = {tools = 'uuid'}}", "tools: input should be a valid list"),
        ("Agent.create{}:with{tools = {calculate = true}}", "tools: input should be a valid list"),
        (
            "Agent.create{handoff = {next = Agent.create{}}}",
            "handoff: input should be a valid list",
        ),
        ("Agent.create{on_text = 5}", "Agent.create: on_text must be a function, not a number"),
        (
            "Agent.create{description = {}}",
            "Agent.create: description must be a string, not a table",
        ),
        ("Agent.create{output = 'nonsense'}", "unknown type"),
        ("Agent.create{temprature = 1}", "temprature is not a parameter"),
        ("Agent.create{max_steps = 0}", "max_steps"),
        ("Agent.create{}:prompt(print)", "prompt: the input must be a text or a table, not a func"),
        ("Agent.create{}:prompt('')", "empty"),
        ("Agent.create{}:prompt('x', {max_tokens = 5})", "max_tokens is not an option"),
        (
            "Agent.create{}:prompt('x', 5)",
            "agent:prompt: the options must be a table, not a number",
        ),
        ("Agent.create{}:stream('x', {on_text = print})", "agent:stream: on_text is not an option"),
        ("Agent.create{}:events('x', 5)", "agent:events: the options must be a table"),
        ("Agent.create{}:prompt{text = 'x', attachments = {'http://[x/y.png'}}", "is not a URL"),
        ("Model.request(5)", "Model.request: takes a request or a text, not a number"),
        (
            "Agent.create{model = 'nonsense'}",
            "model: 'nonsense' does not name a provider and a model",
        ),
        (
            "Agent.create{fallback = {'gpt'}}",
            "fallback: 'gpt' does not name a provider and a model",
        ),
        ("Agent.create{context = {model = 'gpt'}}", "context.model: 'gpt' does not name"),
        ("Agent.create{model = 'nobody/x'}:prompt('x')", "no provider named 'nobody'"),
    ],
)
async def test_mistakes_are_explained(script, source, said):
    with pytest.raises(SpellRuntimeError, match=said):
        await script(source, [])


async def test_hooks_see_and_rewrite_what_an_agent_does(script):
    result, requests = await script(
        """
        local seen = {}
        Hook.before("model.request", function(call)
          call.args.messages[1].content = call.args.messages[1].content:gsub("secret", "***")
          return Hook.modify(call.args)
        end)
        Hook.before("tool.call", function(call)
          seen[#seen + 1] = call.args.name .. " by " .. tostring(call.args.agent ~= nil)
        end)
        Hook.after("agent.run", function(call)
          call.result.text = call.result.text .. "!"
          return Hook.modify(call.result)
        end)
        local text = Agent.create{tools = {"add"}}:prompt("my secret")
        return {text, seen}
        """,
        [ToolCall("1", "add", {"a": 1}), "done"],
    )
    assert result == ["done!", ["add by true"]]
    assert requests[0].messages[0].text == "my ***"


@pytest.mark.parametrize(
    "change",
    [
        lambda args: args["messages"][0].update(content="changed"),
        lambda args: args["messages"][1]["content"].insert(0, {"type": "text", "text": "changed"}),
        lambda args: args["messages"].insert(0, {"role": "user", "content": "changed"}),
        lambda args: args["messages"][1]["content"][0]["arguments"].update(a="changed"),
        lambda args: args["tools"][0].update(description="changed"),
        lambda args: args.update(system="changed"),
        lambda args: args.update(stop=["changed"]),
        lambda args: args.pop("system"),
    ],
)
async def test_what_a_hook_changes_in_place_is_what_the_model_is_asked(new_runtime, change):
    provider = ScriptedProvider([ToolCall("1", "add", {"a": 1}), "done"])
    shown = []
    async with new_runtime(model="scripted/m", providers=[provider]) as runtime:

        @runtime.hooks.before("model.request")
        def rewrite(call):
            if len(call.effect.args["messages"]) == 1:
                return None
            change(call.effect.args)
            shown.append(plain(call.effect.args))
            return Modify(call.effect.args)

        await runtime.execute('Agent.create{system = "s", tools = {"add"}}:prompt("one")')
    (asked,) = shown
    assert provider.requests[1].as_plain() == asked
    assert ("changed" in str(asked)) == ("system" in asked)


async def test_what_an_agent_asks_for_is_checked_as_what_a_spell_asks_for(script):
    with pytest.raises(SpellRuntimeError, match="max_tokens must be a whole number, 1 or more"):
        await script("Agent.create{max_tokens = 0}:prompt('x')", ["1"])


async def test_an_unchanged_request_has_the_key_of_its_effect(new_runtime):
    provider = ScriptedProvider([ToolCall("1", "add", {"a": 1}), "done", "done"])
    async with new_runtime(model="scripted/m", providers=[provider]) as runtime:
        runtime.hooks.before("model.request")(lambda call: None)
        await runtime.execute("""
            local agent = Agent.create{tools = {"add"}}
            agent:prompt("one")
            for _ in agent:stream("two") do end
        """)
    keys = [request.key for request in provider.requests]
    assert len(set(keys)) == 3
    assert all(keys)


async def test_an_unknown_provider_is_found_by_the_host_too(new_runtime):
    async with new_runtime(model="scripted/x", providers=[ScriptedProvider([])]) as runtime:
        misspelt = {"model": "scrpted/x"}
        runtime.hooks.before("model.request")(lambda call: Modify(call.effect.args | misspelt))
        with pytest.raises(SpellRuntimeError) as caught:
            await runtime.execute("Agent.create{}:prompt('x')")
        assert isinstance(caught.value.cause, UnknownEffect)


async def test_the_default_model_and_why_it_is_the_one_are_logged_once(script, caplog):
    caplog.set_level("INFO", logger="llmspell.models")
    await script("Task.map({1, 2}, function() Agent.create{}:prompt('x') end)", ["1", "2"])
    assert caplog.messages == ["The configured model is scripted/m."]


async def test_a_model_may_call_only_what_its_agent_has(script):
    called = []

    @tool
    def pay(amount: int) -> str:
        called.append(amount)
        return "paid"

    result, requests = await script(
        """
        local _, response = Agent.create{tools = {"uuid"}}:prompt("go")
        local other = Agent.create{name = "other", tools = {"pay"}}
        local _, handed = Agent.create{name = "desk", handoff = {other}}:prompt("go")
        return {response.tool_calls[1].error, handed.tool_calls[1].error, handed.tool_calls[2].result}
        """,
        [
            ToolCall("1", "pay", {"amount": 100}),
            "done",
            [ToolCall("2", "pay", {"amount": 200}), ToolCall("3", "transfer_to_other")],
            ToolCall("4", "pay", {"amount": 300}),
            "done",
        ],
        tools=[pay],
    )
    assert result == ["no tool named 'pay'", "no tool named 'pay'", "paid"]
    assert called == [300]
    told = requests[1].messages[-1].content[0]
    assert (told.is_error, told.content[0].text) == (True, "no tool named 'pay'")


@pytest.fixture
def odd_name(tmp_path):
    """A folder with a file whose name is not UTF-8."""
    (tmp_path / os.fsdecode(b"odd\xff.txt")).write_text("tea")
    return str(tmp_path)


async def test_a_name_that_is_not_utf_8_can_be_told_to_the_model(script, odd_name):
    where = {"path": odd_name}
    calls = [
        ToolCall("1", "list_files", where),
        ToolCall("2", "search_files", where | {"query": "tea"}),
    ]
    result, requests = await script(
        "local agent = Agent.create{tools = {'list_files', 'search_files'}} return (agent:prompt('go'))",
        [calls, "done"],
        grants=Grants(read=(odd_name,)),
    )
    assert result == "done"
    for told in requests[1].messages[-1].content:
        assert r"odd\udcff.txt" in told.content[0].text


async def test_the_model_is_shown_a_tool_as_it_is_now(script):
    result, requests = await script(
        """
        local function define(params, run)
          Tool.define{name = "brew", params = params, run = run}
        end
        define({cups = "integer"}, function(args)
          define({tea = "string"}, function(other) return other.tea end)
          return "which tea?"
        end)
        local _, response = Agent.create{tools = {"brew"}}:prompt("go")
        return {response.tool_calls[1].result, response.tool_calls[2].result}
        """,
        [ToolCall("1", "brew", {"cups": 1}), ToolCall("2", "brew", {"tea": "green"}), "so"],
    )
    assert result == ["which tea?", "green"]
    shown = [list(request.tools[0].schema["properties"]) for request in requests]
    assert shown == [["cups"], ["tea"], ["tea"]]


async def test_a_tool_that_is_removed_meanwhile_fails_its_call_only(new_runtime):
    calls = [ToolCall("1", "leave", {}), ToolCall("2", "leave", {}), "so"]
    options = {"model": "scripted/m", "providers": [ScriptedProvider(calls)]}
    async with new_runtime(**options) as runtime:

        @tool
        def leave() -> str:
            "Remove itself."
            runtime.tools.remove("leave")
            return "gone"

        runtime.tools.add(leave)
        source = "return select(2, Agent.create{tools = {'leave'}}:prompt('go')).tool_calls"
        first, second = await runtime.execute(source)
    assert first["result"] == "gone"
    assert second["error"] == "no tool named 'leave'"
