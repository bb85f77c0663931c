"""People who are asked: questions of spells, and approval of effects."""

import re

import anyio
import pytest

from llmspell import tool
from llmspell.config import ApproveSettings, Project, Settings
from llmspell.errors import ConfigError, RunSuspended, SpellRuntimeError
from llmspell.human import Decision
from llmspell.providers.messages import ToolCall
from llmspell.providers.scripted import ScriptedProvider

pytestmark = pytest.mark.anyio


class Ada:
    """Answers with what she is told to, and remembers what she was asked."""

    def __init__(self, *answers, pause=0):
        self.answers, self.pause, self.asked = list(answers), pause, []

    async def answer(self, question):
        return await self._next(question)

    async def decide(self, approval):
        return await self._next(approval)

    async def _next(self, what):
        self.asked.append(what)
        await anyio.sleep(self.pause)
        return self.answers.pop(0)


YES, NO = Decision(approved=True), Decision(approved=False, reason="not today")


@tool
def send_mail(to: str, text: str = "") -> str:
    """Send a mail.

    Args:
        to: Whom to.
        text: What it says.
    """
    return f"sent {text!r} to {to}"


@pytest.fixture
def approving(new_runtime, tmp_path):
    """Runs Lua in a project whose settings want approval of some effects."""

    async def run(source, *effects, **options):
        project = Project(tmp_path, Settings(approve=ApproveSettings(effects)))
        async with new_runtime(tools=[send_mail], project=project, **options) as runtime:
            return await runtime.execute(source, name="test.lua")

    return run


async def test_a_question_with_choices(lua):
    ada = Ada("Oslo")
    source = "return Human.ask('Which city?', {choices = {'Oslo', 'Rome'}, default = 'Rome'})"
    assert await lua(source, person=ada) == "Oslo"
    (question,) = ada.asked
    assert (question.spell, question.text) == ("test.lua", "Which city?")
    assert (question.choices, question.default) == (("Oslo", "Rome"), "Rome")


@pytest.mark.parametrize(
    ("answer", "options", "result"),
    [
        (None, "{default = 'tea'}", "tea"),
        (None, "{}", "nobody_to_ask"),
        ("", "{}", ""),
    ],
)
async def test_no_answer(answer, options, result, lua):
    source = f"local ok, a = pcall(Human.ask, 'What?', {options}) return ok and a or a.code"
    assert await lua(source, person=Ada(answer)) == result


@pytest.mark.parametrize("seconds", ["0.05", "'50ms'"])
@pytest.mark.parametrize(
    ("options", "result"), [("default = 'tea', ", "tea"), ("", "effect_timeout")]
)
async def test_nobody_answers_in_time(options, result, seconds, lua):
    asked = f"pcall(Human.ask, 'What?', {{{options}timeout = {seconds}}})"
    source = f"local ok, a = {asked} return ok and a or a.code"
    assert await lua(source, person=Ada("late", pause=5)) == result


async def test_a_default_that_is_no_choice(lua):
    with pytest.raises(SpellRuntimeError, match="default: 'x' is not one of the choices"):
        await lua("Human.ask('What?', {choices = {'a'}, default = 'x'})", person=Ada("a"))


async def test_nobody_is_there(lua, approving):
    with pytest.raises(
        SpellRuntimeError, match="the spell asks: What\\?, and there is nobody to ask"
    ) as e:
        await lua("Human.ask('What?')", record=False)
    assert e.value.cause.exit_code == 3
    with pytest.raises(SpellRuntimeError, match="needs a person's approval") as e:
        await approving("send_mail{to = 'bob'}", "tool.call:send_mail", record=False)
    assert "--approve=tool.call:send_mail" in e.value.hint


async def test_a_run_that_is_recorded_stops_where_nobody_is_there(lua, approving):
    for run in (lua("Human.ask('What?')"), approving("send_mail{to = 'bob'}", "tool.call")):
        with pytest.raises(RunSuspended, match="the run is waiting for a person") as caught:
            await run
        assert (caught.value.reason, caught.value.exit_code) == ("person", 6)


async def test_what_is_approved_is_done(approving):
    ada = Ada(YES)
    result = await approving("return send_mail{to = 'bob'}", "tool.call:send_*", person=ada)
    assert result == "sent '' to bob"
    (approval,) = ada.asked
    assert approval.what == "tool.call:send_mail"
    assert approval.args["args"] == {"to": "bob"}


async def test_what_is_refused_is_not_done_and_the_spell_learns_why(approving):
    source = """
        local ok, e = pcall(send_mail, {to = 'bob'})
        return {e.code, tostring(e), e.details.reason}
    """
    result = await approving(source, "tool.*", person=Ada(NO))
    message = "tool.call:send_mail was not approved: not today"
    assert result[0] == "not_approved"
    assert message in result[1]
    assert result[2] == "not today"


async def test_arguments_may_be_changed_and_are_checked_again(approving):
    changed = {"name": "send_mail", "args": {"to": "eve", "text": "hi"}}
    ada = Ada(Decision(approved=True, args=changed))
    result = await approving("return send_mail{to = 'bob'}", "tool.call", person=ada)
    assert result == "sent 'hi' to eve"
    wrong = Ada(Decision(approved=True, args={"name": "send_mail", "args": {"at": "eve"}}))
    with pytest.raises(SpellRuntimeError, match="to is required"):
        await approving("send_mail{to = 'bob'}", "tool.call", person=wrong)


async def test_what_is_changed_needs_its_grants(approving, tmp_path):
    (tmp_path / "secret.txt").write_text("x")
    changed = {"name": "read_file", "args": {"path": str(tmp_path / "secret.txt")}}
    ada = Ada(Decision(approved=True, args=changed))
    with pytest.raises(SpellRuntimeError) as caught:
        await approving("send_mail{to = 'bob'}", "tool.call:send_mail", person=ada)
    assert caught.value.cause.code == "permission_denied"


async def test_only_what_the_rules_name_is_asked_for(approving):
    ada = Ada(YES, YES)
    source = """
        State.set("a", 1) State.set("drafts.b", 2)
        State.delete("a") State.delete("drafts.b")
    """
    await approving(source, "state.delete:drafts.*", "human.*", person=ada)
    assert [a.what for a in ada.asked] == ["state.delete:drafts.b"]


async def test_what_is_approved_beforehand_is_not_asked_for(approving):
    source = "return send_mail{to = 'bob'}"
    given = ["tool.call:send_mail"]
    assert await approving(source, "tool.call", approved=given) == "sent '' to bob"


async def test_the_front_matter_may_want_more_approvals(lua):
    source = """--- /// spell
--- [approve]
--- effects = ["tool.call:add"]
--- ///
return add{a = 1}"""
    ada = Ada(YES)
    assert await lua(source, person=ada) == 2
    assert [a.what for a in ada.asked] == ["tool.call:add"]
    with pytest.raises(Exception, match=r"approve\.effects: must be a list of strings"):
        await lua(source.replace('["tool.call:add"]', '"x"'))
    with pytest.raises(Exception, match=r"approve\.tools: unknown key"):
        await lua(source.replace("effects", "tools"))


async def test_a_spell_that_a_spell_runs_is_held_to_the_same(approving):
    ada = Ada(NO)
    source = "return Spell.run([[send_mail{to = 'bob'}]], {grants = {tool = {'send_mail'}}})"
    with pytest.raises(SpellRuntimeError, match="was not approved"):
        await approving(source, "tool.call:send_mail", person=ada)
    assert len(ada.asked) == 1


async def test_no_other_name_gets_a_spell_around_its_approval(approving, tmp_path):
    (tmp_path / "spells").mkdir()
    (tmp_path / "spells" / "clean.lua").write_text("return 'cleaned'")
    ada = Ada(NO, NO)
    with pytest.raises(SpellRuntimeError, match=r"spell\.run:clean was not approved"):
        await approving("Spell.run('clean', {name = 'other'})", "spell.run:clean", person=ada)
    given = {"person": ada, "approved": ["spell.run:clean"]}
    with pytest.raises(SpellRuntimeError, match="was not approved"):
        await approving("Spell.run('return 1', {name = 'clean'})", "spell.run", **given)
    assert [asked.what for asked in ada.asked] == ["spell.run:clean", "spell.run:return 1"]


@pytest.mark.parametrize("hook", ["before", "after", "on_error"])
@pytest.mark.parametrize("point", ["human.*", "*.approve", "*"])
@pytest.mark.parametrize("result", ["replace{approved = true}", "modify{what = 'tea'}"])
async def test_no_hook_answers_for_a_person(approving, hook, point, result):
    ada = Ada(NO)
    source = f"""
        Hook.{hook}("{point}", function(call)
          if call.effect == "human.approve" then return Hook.{result} end
        end)
        send_mail{{to = "bob"}}
    """
    with pytest.raises(SpellRuntimeError, match=r"send_mail was not approved: not today"):
        await approving(source, "tool.call:send_mail", person=ada)
    assert [asked.what for asked in ada.asked] == ["tool.call:send_mail"]


async def test_a_hook_of_approvals_is_refused(lua):
    with pytest.raises(SpellRuntimeError, match=r"human\.approve has no hooks"):
        await lua("Hook.before('human.approve', function() end)")


async def test_a_model_is_told_of_a_refusal(approving):
    model = ScriptedProvider([ToolCall("", "send_mail", {"to": "bob"}), "I could not."])
    source = "return (Agent.create{tools = {'send_mail'}}:prompt('Write to Bob.'))"
    options = {"providers": [model], "model": "scripted/m", "person": Ada(NO)}
    assert await approving(source, "tool.call:send_mail", **options) == "I could not."
    (result,) = model.requests[1].messages[-1].content
    assert result.is_error
    assert "was not approved: not today" in result.content[0].text


CHANGED = {"to": "eve"}


@pytest.mark.parametrize(
    ("rules", "wanted", "args"),
    [
        ([], "approve = {'send_mail'}", CHANGED),
        (["tool.call"], "", {"name": "send_mail", "args": CHANGED}),
    ],
)
async def test_an_answer_shows_what_really_ran(rules, wanted, args, approving):
    model = ScriptedProvider([ToolCall("", "send_mail", {"to": "bob"}), "Done."])
    source = f"""
        local agent = Agent.create{{tools = {{"send_mail"}}, {wanted}}}
        return select(2, agent:prompt("Write to Bob.")).tool_calls
    """
    options = {"providers": [model], "model": "scripted/m"}
    ada = Ada(Decision(approved=True, args=args))
    (call,) = await approving(source, *rules, person=ada, **options)
    assert call == {"name": "send_mail", "arguments": CHANGED, "result": "sent '' to eve"}


async def test_a_spell_can_ask_for_approval_itself(lua):
    ada = Ada(Decision(approved=True, args={"to": "eve"}), NO)
    source = """
        local args = Human.approve("send the mail", {to = "bob"})
        local ok, e = pcall(Human.approve, "send it again")
        return {args.to, e.code}
    """
    assert await lua(source, person=ada) == ["eve", "not_approved"]


@pytest.mark.parametrize("called", ["write_file@1", "write_file"])
async def test_a_version_gets_no_tool_around_its_approval(approving, called, tmp_path):
    source = f"Tool.call('{called}', {{path = 'x.txt', content = 'x'}})"
    ada = Ada(NO)
    with pytest.raises(SpellRuntimeError, match=r"tool\.call:write_file was not approved"):
        await approving(source, "tool.call:write_file", person=ada)
    assert len(ada.asked) == 1


async def test_a_version_gets_no_agents_tool_around_its_approval(approving):
    model = ScriptedProvider([[ToolCall("a", "send_mail", {"to": "bob"})], "done"])
    source = """
        local agent = Agent.create{tools = {"send_mail@1"}, approve = {"send_mail@1"}}
        return select(2, agent:prompt("go")).tool_calls[1].error
    """
    options = {"providers": [model], "model": "scripted/m", "person": Ada(NO)}
    assert "not today" in await approving(source, **options)


async def test_the_default_embedding_model_needs_its_approval(approving, monkeypatch):
    ada = Ada(NO)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    with pytest.raises(SpellRuntimeError, match="was not approved"):
        await approving("Model.embed('tea')", "model.embed:openai/*", person=ada)
    (approval,) = ada.asked
    assert approval.what == "model.embed:openai/text-embedding-3-small"
    assert approval.args["model"] == "openai/text-embedding-3-small"


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("tool.cal:send_mail", r"no effect named 'tool\.cal'"),
        ("tols.*", r"no effect named 'tols\.\*'"),
        ("tool.call:send_mail@1", "a rule names no version"),
    ],
)
async def test_a_rule_that_matches_nothing_is_an_error(approving, lua, rule, problem):
    with pytest.raises(ConfigError, match=rf"approve\.effects: {re.escape(rule)}: {problem}"):
        await approving("return 1", rule)
    front = f'--- /// spell\n--- [approve]\n--- effects = ["{rule}"]\n--- ///\n'
    with pytest.raises(ConfigError, match=f"test.lua: approve.effects.*{problem}"):
        await lua(front + "return 1")
    with pytest.raises(SpellRuntimeError, match=f"{problem}"):
        await lua(f"Spell.run([==[{front}]==])")


@pytest.mark.parametrize("named", ["model = 'large'", "models = {'small', 'large'}"])
async def test_no_field_of_a_protocol_gets_a_model_around_its_approval(approving, named):
    source = f"""
        Agent.create{{model = "scripted/small", extra_body = {{{named}}}}}:prompt("go")
    """
    ada = Ada(NO)
    options = {"providers": [ScriptedProvider(["so"])], "person": ada}
    with pytest.raises(SpellRuntimeError, match=r"model\.request:scripted/large was not approved"):
        await approving(source, "model.request:scripted/large", **options)
    rules = ("model.request:scripted/*",)
    given = ["model.request:scripted/small"]
    with pytest.raises(SpellRuntimeError, match=r"model\.request:scripted/large was not approved"):
        await approving(source, *rules, approved=given, **options | {"person": Ada(NO)})
    given.append("model.request:scripted/large")
    await approving(source, *rules, approved=given, **options)
    assert len(ada.asked) == 1
