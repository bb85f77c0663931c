"""Teams of agents, on the scripted model."""

import pytest

from llmspell.errors import SpellRuntimeError
from llmspell.providers.messages import ToolCall
from llmspell.providers.scripted import ScriptedProvider

pytestmark = pytest.mark.anyio


@pytest.fixture
def script(new_runtime):
    """Runs Lua with a model that answers as its system says; the result and what it was asked."""

    async def run(source, replies=None, **options):
        provider = ScriptedProvider(replies or _by_system)
        options = {"model": "scripted/m", "providers": [provider], **options}
        async with new_runtime(**options) as runtime:
            prelude = "local function who(system) return Agent.create{name = system, system = system} end "
            return await runtime.execute(prelude + source, name="test.lua"), provider.requests

    return run


def _by_system(request):
    return f"{request.system}({request.messages[-1].text})"


async def test_sequential_passes_answers_on(script):
    result, _ = await script("""
        local team = Team.sequential{who("a"), function(x) return x .. "!" end, who("b")}
        local answer, response = team:prompt("go")
        return {answer, response.text, response.answers, response.usage.output_tokens > 0}
    """)
    assert result == ["b(a(go)!)", "b(a(go)!)", ["a(go)", "a(go)!", "b(a(go)!)"], True]


async def test_parallel_gathers_in_order_and_combines(script):
    result, _ = await script("""
        local list = Team.parallel{who("a"), who("b"), limit = 1}:prompt("go")
        local joined = Team.parallel{who("a"), who("b"), combine = function(l) return table.concat(l, "+") end}
        local judged = Team.parallel{who("a"), who("b"), combine = who("j")}
        return {list, (joined:prompt("go")), (judged:prompt("go"))}
    """)
    assert result == [["a(go)", "b(go)"], "a(go)+b(go)", 'j(["a(go)", "b(go)"])']


@pytest.mark.parametrize(
    ("answers", "winner", "votes"),
    [
        (["Oslo", "Bergen.", " oslo! "], "Oslo", {"oslo": 2, "bergen": 1}),
        (["a", "b"], "a", {"a": 1, "b": 1}),
        (["a", "b", "B"], "b", {"a": 1, "b": 2}),
    ],
)
async def test_vote(script, answers, winner, votes):
    listed = ", ".join(f"function() return '{answer}' end" for answer in answers)
    result, _ = await script(f"""
        local answer, response = Team.vote{{{listed}}}:prompt("?")
        return {{answer, response.votes}}
    """)
    assert result == [winner, votes]


async def test_vote_by_a_key(script):
    result, _ = await script("""
        local team = Team.vote{
          function() return {n = 1, why = "x"} end, function() return {n = 2} end,
          function() return {n = 2, why = "y"} end,
          key = function(answer) return answer.n end,
        }
        return (team:prompt("?"))
    """)
    assert result == {"n": 2}


async def test_who_answers_nothing_or_nothing_that_counts_abstains(script):
    result, _ = await script("""
        local function says(answer) return function() return answer end end
        local silent = Team.vote{says(nil), says("b"), says("a"), says("a")}
        local number = function(answer) return answer:match("%d+") end
        local odd = Team.vote{says("no idea"), says("it is 7"), says("7!"), says("8"), key = number}
        local answer, response = silent:prompt("?")
        local counted, other = odd:prompt("?")
        return {answer, response.votes, response.answers[2], counted, other.votes}
    """)
    assert result == ["a", {"a": 2, "b": 1}, "b", "it is 7", {"7": 2, "8": 1}]


async def test_the_judge_sees_all_that_was_said_though_one_said_nothing(script):
    _, requests = await script("""
        local function quiet() return nil end
        return (Team.debate{who("a"), quiet, who("b"), rounds = 1, judge = who("j")}:prompt("go"))
    """)
    final = requests[-1].messages[0].text
    assert "a says:\na(go)" in final
    assert "b says:\nb(go)" in final
    assert "member 2" not in final


async def test_debate_shows_the_others_answers_and_lets_a_judge_decide(script):
    result, requests = await script(
        """
        local team = Team.debate{who("ann"), who("bob"), rounds = 2, judge = who("judge")}
        return (team:prompt("Why?"))
        """,
        lambda request: f"{request.system} in {len(request.messages)}",
    )
    assert result == "judge in 1"
    assert len(requests) == 5
    second = [r.messages[-1].text for r in requests if r.system == "ann"][1]
    assert second.startswith("Why?")
    assert "bob says:\nbob in 1" in second
    assert "ann says" not in second
    final = requests[-1].messages[0].text
    assert "ann says:\nann in 3" in final
    assert "bob says:\nbob in 3" in final


async def test_teams_are_members_and_tools(script):
    def reply(request):
        if request.system == "boss" and len(request.messages) == 1:
            return ToolCall("", "pair", {"input": "why"})
        if request.system == "boss":
            return request.messages[-1].content[0].content[0].text
        return _by_system(request)

    result, _ = await script(
        """
        local pair = Team.sequential{who("a"), who("b"), name = "pair"}
        local nested = Team.parallel{pair, who("c")}
        local boss = Agent.create{system = "boss", tools = {pair}}
        return {(nested:prompt("go")), (boss:prompt("ask them"))}
        """,
        reply,
    )
    assert result == [["b(a(go))", "c(go)"], "b(a(why))"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("Team.vote{}", "no members"),
        ("Team.debate('x')", "takes a table"),
        ("Team.parallel{who('a'), 5}", "member 2 is not an agent"),
        ("Team.vote{function() end}:prompt('x')", "all members of team abstained"),
        (
            "Team.vote{function() return 1 end, key = function() return {} end}:prompt('x')",
            "key returned a table",
        ),
        (
            "Team.vote{function() return 1 end, key = function() return 0/0 end}:prompt('x')",
            "key returned nan",
        ),
        ("Team.vote{who('a'), key = 'n'}", "key is not a function"),
        ("Team.debate{who('a'), judge = 'ann'}", "judge is not an agent"),
        ("Team.parallel{who('a'), combine = 1}", "combine is not an agent"),
        ("Team.parallel{who('a'), combin = who('b')}", "Team.parallel: combin is not an option"),
        ("Team.vote{who('a'), rounds = 3}", "Team.vote: rounds is not an option"),
        ("Team.sequential{who('a'), limit = 0}", "limit must be a whole number, 1 or more"),
        ("Team.debate{who('a'), rounds = 0}", "rounds must be a whole number, 1 or more"),
        ("Team.debate{who('a'), name = 5}", "name is not a string"),
        ("Team.sequential{function() error('broken', 0) end}:prompt('x')", "broken"),
    ],
)
async def test_mistakes_are_explained(script, source, said):
    with pytest.raises(SpellRuntimeError, match=said):
        await script(source)


async def test_the_price_of_a_team_is_known_if_that_of_each_is(script):
    source = """
        local function asks(model) return Agent.create{model = model, max_tokens = 9} end
        local known, unknown = "openai/gpt-5.4-mini", "nobody/m"
        local _, all = Team.parallel{asks(known), asks(known)}:prompt("go")
        local _, some = Team.sequential{asks(known), asks(unknown), asks(known)}:prompt("go")
        local _, first = Team.sequential{asks(unknown), asks(known)}:prompt("go")
        return {all.usage.usd > 0, some.usage.usd == nil, first.usage.usd == nil, first.usage.input_tokens > 0}
    """
    provider = ScriptedProvider(lambda _: "so")
    provider.name = "*"
    result, _ = await script(source, providers=[provider])
    assert result == [True, True, True, True]


async def test_the_judge_sees_what_was_attached(script):
    _, requests = await script("""
        local picture = {data = "\\x89PNG\\r\\n\\x1a\\n\\xff", media_type = "image/png", name = "a.png"}
        Team.debate{who("a"), who("b"), limit = 1, judge = who("j")}:prompt{text = "Look.", attachments = {picture}}
    """)
    pictures = [len(request.messages[-1].content) - 1 for request in requests]
    assert pictures == [1, 1, 0, 0, 1]
    assert requests[-1].messages[-1].text.startswith("Look.")
