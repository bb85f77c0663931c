"""Conversations that are kept, handed over, shown files and approved of by a person."""

import pytest

from llmspell import tool
from llmspell.errors import SpellRuntimeError
from llmspell.human import Decision
from llmspell.permissions import Grants
from llmspell.providers.messages import Message, ModelResponse, Reasoning, ToolCall, Usage
from llmspell.providers.scripted import ScriptedProvider
from llmspell.state import MemoryStore

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n\x00\xff"


@pytest.fixture
def script(new_runtime):
    async def run(source, replies, **options):
        provider = ScriptedProvider(replies)
        async with new_runtime(model="scripted/m", providers=[provider], **options) as runtime:
            return await runtime.execute(source, name="test.lua"), provider.requests

    return run


async def test_a_conversation_is_kept_in_the_state_for_another_run(script):
    store = MemoryStore()
    saved, _ = await script(
        """
        local agent = Agent.create{name = "clerk", tools = {"add"}}
        agent:prompt("one")
        return agent:save("desk")
        """,
        [ToolCall("1", "add", {"a": 1}), "two"],
        store=store,
    )
    assert saved["version"] == 1
    assert (saved["agent"], len(saved["messages"])) == ("clerk", 4)
    result, (request,) = await script(
        """
        local agent = Agent.create{}
        agent:load("desk")
        return {(agent:prompt("more")), #agent:history()}
        """,
        ["three"],
        store=store,
    )
    assert result == ["three", 6]
    assert [m.role for m in request.messages] == ["user", "assistant", "tool", "assistant", "user"]
    assert request.messages[1].tool_calls[0].arguments == {"a": 1}


async def test_a_conversation_is_a_table_and_keeps_everything(script, tmp_path):
    (tmp_path / "cat.png").write_bytes(PNG)
    thought = Reasoning("scripted", "Hm.", {"signature": "s"})
    answer = ModelResponse(Message.of("assistant", thought, "a cat"), Usage(90, 5), model="x")
    result, requests = await script(
        f"""
        local agent = Agent.create{{}}
        agent:prompt{{text = "look", attachments = {{"{tmp_path}/cat.png"}}}}
        local saved = agent:save()
        local other = Agent.create{{}}:load(saved)
        other:prompt("and?")
        return {{other:history()[2].content[1], saved.tokens}}
        """,
        [answer, "yes"],
        grants=Grants(read=(str(tmp_path),)),
    )
    assert result[0] == {
        "type": "reasoning", "provider": "scripted", "text": "Hm.", "data": {"signature": "s"},
    }  # fmt: skip
    assert result[1]["known"] == 2
    assert result[1]["tokens"] == 95
    assert requests[1].messages[:2] == (requests[0].messages[0], answer.message)
    assert requests[1].messages[0].content[1].data == PNG


async def test_who_has_taken_over_is_saved_by_name(script):
    store = MemoryStore()
    agents = """
        local expert = Agent.create{name = "expert", system = "You know."}
        local clerk = Agent.create{name = "clerk", handoff = {expert}}
    """
    await script(
        agents + "clerk:prompt('why?') clerk:save('talk')",
        [ToolCall("1", "transfer_to_expert", {}), "because"],
        store=store,
    )
    result, (request,) = await script(
        agents
        + """
        local _, response = clerk:load("talk"):prompt("and?")
        return response.agent
        """,
        ["so"],
        store=store,
    )
    assert (result, request.system) == ("expert", "You know.")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("Agent.create{}:load('nothing')", "no conversation has been saved as 'nothing'"),
        ("Agent.create{}:load{version = 2, messages = {}}", "newer llmspell"),
        ("Agent.create{}:load{}", "not a conversation"),
        ("Agent.create{}:load{version = 1, messages = {{role = 'x', content = ''}}}", "message 1"),
        ("Agent.create{handoff = {'x'}}", "handoff: each is an agent"),
        ("Agent.create{handoff = {Agent.create{}, Agent.create{}}}", "the same name"),
        ("Agent.create{handoff = {Agent.create{name = 'my desk'}}}", "no model can call 'my desk'"),
        ("Agent.create{tools = {'hash', 'hash'}}", "two are named 'hash'"),
        (
            "local a = Agent.create{} Agent.create{handoff = {a}, tools = {a:as_tool{name = 'transfer_to_agent'}}}",
            "two are named 'transfer_to_agent'",
        ),
        ("Agent.create{context = {max_tokens = 0}}", "context.max_tokens"),
        ("Agent.create{context = {strategy = 'x', tokens = 5}}", "tokens is not an option.*trim"),
        ("Agent.create{parallel = 0, attempts = 0}", "parallel.*attempts"),
    ],
)
async def test_mistakes_are_explained(script, source, said):
    with pytest.raises(SpellRuntimeError, match=said):
        await script(source, [])


@tool
async def send_mail(to: str) -> str:
    """Send a mail."""
    return f"sent to {to}"


class Person:
    """Approves of mails to some, and changes the address of those to "typo"."""

    def __init__(self):
        self.asked = []

    async def answer(self, question):
        raise AssertionError(question)

    async def decide(self, request):
        self.asked.append(request)
        to = request.args["to"]
        args = {"to": "corrected"} if to == "typo" else None
        return Decision(approved=to != "enemy", args=args, reason="never")


APPROVE = """
    local _, response = Agent.create{tools = {"send_mail", "add"}, approve = {"send_*"}}:prompt("go")
    return response.tool_calls
"""
MAILS = [
    [
        ToolCall("1", "send_mail", {"to": "enemy"}),
        ToolCall("2", "add", {"a": 1}),
        ToolCall("3", "send_mail", {"to": "typo"}),
    ],
    "done",
]


async def test_a_person_approves_of_tools(script):
    person = Person()
    calls, _ = await script(APPROVE, MAILS, person=person, tools=[send_mail, _add])
    assert len(person.asked) == 2
    assert "never" in calls[0]["error"]
    assert [c.get("result") for c in calls] == [None, 2, "sent to corrected"]


async def test_without_a_person_they_are_refused_unless_approved_of_beforehand(script):
    calls, requests = await script(APPROVE, MAILS, tools=[send_mail, _add], record=False)
    assert ["error" in c for c in calls] == [True, False, True]
    assert requests[1].messages[-1].content[0].is_error
    calls, _ = await script(
        APPROVE, MAILS, tools=[send_mail, _add], approved=["tool.call:send_mail"]
    )
    assert ["error" in c for c in calls] == [False, False, False]


@tool(name="add")
async def _add(a: int, b: int = 1) -> int:
    """Add."""
    return a + b


async def test_agents_of_many_tasks_at_once(script):
    result, requests = await script(
        """
        local list = {}
        for i = 1, 256 do list[i] = i end
        local answers = Task.map(list, function(i)
          return (Agent.create{tools = {"add"}}:prompt("add " .. i))
        end)
        for i, answer in ipairs(answers) do assert(answer == "it is " .. i + 1, answer) end
        return #answers
        """,
        _adds,
    )
    assert (result, len(requests)) == (256, 512)


def _adds(request):
    last = request.messages[-1]
    if last.role == "user":
        return ToolCall("", "add", {"a": int(last.text.split()[1])})
    return f"it is {last.content[0].content[0].text}"
