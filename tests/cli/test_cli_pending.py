"""Runs that wait for people: pending, approve, deny, answer, and resume."""

import json

import pytest

from llmspell.providers.messages import ToolCall
from llmspell.testing.fakes import FakeServer

ASK = """
print("begun")
local city = Human.ask("Which city?", {choices = {"Oslo", "Rome"}})
return "off to " .. city
"""
ADD = "local sum = add{a = 1, b = 2} return sum"
SETTINGS = '[approve]\neffects = ["tool.call:add"]\n'


@pytest.fixture
def approving(write, tools):
    write("llmspell.toml", SETTINGS)
    return tools


@pytest.fixture
def suspended(llmspell, write):
    """Runs a spell until it waits: the id of the run."""

    def run(source, *options):
        done = llmspell("run", *options, str(write("spell.lua", source)))
        assert done.code == 6, done.err
        assert "hint: see: llmspell pending" in done.err
        return done.err.rpartition("llmspell resume ")[2].split()[0]

    return run


@pytest.fixture
def pending(llmspell):
    return lambda: json.loads(llmspell("pending", "--json").out)


def test_nothing_is_pending(llmspell):
    assert llmspell("pending").out == "nothing is pending\n"
    assert "no journal" in llmspell("approve").err


def test_a_question_waits_is_shown_answered_and_the_run_goes_on(llmspell, suspended):
    run = suspended(ASK)
    lines = llmspell("pending").out.splitlines()
    assert lines[0].startswith(f"{run} 0/0  20")
    assert lines[0].endswith("  spell")
    assert lines[1:] == ["  asks: Which city?", "  choices: Oslo, Rome"]
    done = llmspell("answer", "Oslo")
    assert (done.code, done.out) == (0, f"continue with: llmspell resume {run}\n")
    assert llmspell("pending").out == "nothing is pending\n"
    done = llmspell("resume", run)
    assert (done.code, done.out) == (0, "begun\noff to Oslo\n")
    assert llmspell("replay", run).out == "begun\noff to Oslo\n"


def test_an_answer_that_is_none(llmspell, suspended, pending):
    suspended(ASK)
    done = llmspell("answer", "Paris")
    assert (done.code, "not one of the choices: Oslo, Rome" in done.err) == (2, True)
    assert len(pending()) == 1


def test_resuming_without_an_answer_waits_again(llmspell, suspended, pending):
    run = suspended(ASK)
    assert llmspell("resume", run).code == 6
    assert len(pending()) == 1


def test_who_resumes_at_a_terminal_is_asked(terminal, suspended, pending):
    run = suspended(ASK)
    seen = terminal("resume", run)
    seen.wait_for("> ")
    seen.type("2\n")
    assert seen.wait() == 0
    assert "off to Rome" in seen.screen.lines[-1]
    assert pending() == []


def test_what_is_approved_is_done(llmspell, suspended, approving):
    run = suspended(ADD, approving)
    shown = llmspell("pending").out
    assert "  wants approval of tool.call:add\n" in shown
    assert '    args: {"a": 1, "b": 2}\n' in shown
    assert llmspell("approve").code == 0
    assert llmspell("resume", approving, run).out == "3\n"


def test_what_is_refused_is_not(llmspell, suspended, approving):
    run = suspended(ADD, approving)
    assert llmspell("deny", run[:-2], "--reason", "too much").code == 0
    done = llmspell("resume", approving, run)
    assert (done.code, "tool.call:add was not approved: too much" in done.err) == (3, True)


def test_it_may_be_done_otherwise(llmspell, suspended, approving):
    run = suspended(ADD, approving)
    assert llmspell("approve", "--set", 'args={"a": 40, "b": 2}').code == 0
    assert llmspell("resume", approving, run).out == "42\n"


def test_a_change_without_a_value(llmspell, suspended, approving):
    suspended(ADD, approving)
    assert llmspell("approve", "--set", "args").code == 2


def test_a_change_of_no_argument(llmspell, suspended, approving, pending):
    run = suspended(ADD, approving)
    wrong = llmspell("approve", "--set", "a=40")
    assert wrong.code == 2
    assert "tool.call:add has no argument 'a' to change" in wrong.err
    assert "hint: it has args, name\n" in wrong.err
    assert len(pending()) == 1
    assert llmspell("approve").code == 0
    assert llmspell("resume", approving, run).out == "3\n"


def test_an_optional_argument_may_be_added(llmspell, suspended, write):
    write("llmspell.toml", '[approve]\neffects = ["state.set"]')
    source = "State.set('key', 1) Task.sleep('40ms') return State.get('key', 'expired')"
    run = suspended(source)
    assert llmspell("approve", "--set", "ttl=0.02").code == 0
    assert llmspell("resume", run).out == "expired\n"


def test_several_at_once_wait_together(llmspell, suspended, approving, pending):
    source = "return Task.map({1, 2, 3}, function(n) return add{a = n} end)"
    run = suspended(source, approving)
    assert [one["args"]["args"] for one in pending()] == [{"a": n} for n in (1, 2, 3)]
    done = llmspell("approve")
    assert (done.code, "several approvals are pending" in done.err) == (2, True)
    # A shell on a terminal would take the ! for one of its history.
    quoted = [f"{run} '{one['path']}'" for one in pending()]
    assert done.err.endswith(f"hint: name one of: {', '.join(quoted)}\n")
    assert f"{quoted[0]}  20" in llmspell("pending").out
    for one in pending()[:2]:
        assert llmspell("approve", run, one["path"]).code == 0
    assert llmspell("resume", approving, run).code == 6
    assert len(pending()) == 1
    assert llmspell("approve").code == 0
    assert json.loads(llmspell("resume", approving, run).out) == [2, 3, 4]


def test_other_tasks_go_on_as_long_as_they_can(llmspell, suspended):
    source = """
        return Task.all{
          function() return Human.ask("Tea?") end,
          function() Task.sleep(0.3) print("slept") return State.increment("n") end,
        }
    """
    run = suspended(source)
    assert llmspell("exec", "return State.get('n')").out == "1\n"
    assert llmspell("answer", run, "yes").code == 0
    done = llmspell("resume", run)
    assert json.loads(done.out.removeprefix("slept\n")) == ["yes", 1]
    assert llmspell("exec", "return State.get('n')").out == "1\n"


def test_a_question_whose_time_is_over_has_its_default(llmspell, suspended, pending):
    source = "return Human.ask('Tea?', {default = 'no', timeout = 4})"
    run = suspended(source)
    (one,) = pending()
    assert one["due"] > one["started"]
    while pending():
        pass
    assert llmspell("resume", run).out == "no\n"


def test_it_may_be_the_model_that_wants_it(llmspell, suspended, write, pending):
    source = """
        local tools = {{name = "mail", params = {to = "string"},
          run = function(args) return "sent to " .. args.to end}}
        return (Agent.create{tools = tools, approve = {"mail"}}:prompt("Write to Bob."))
    """
    with FakeServer([ToolCall("c1", "mail", {"to": "bob"}), "I wrote."]) as server:
        write("llmspell.toml", f'[providers.fake]\nbase_url = "{server.url}/v1"\n')
        run = suspended(source, "--model=fake/m")
        (one,) = pending()
        assert one["args"] == {"to": "bob"}
        assert llmspell("approve").code == 0
        assert llmspell("resume", "--model=fake/m", run).out == "I wrote.\n"
    asked = [request.json["messages"] for request in server.requests]
    assert len(asked) == 2
    assert asked[1][-1]["content"] == "sent to bob"


def test_without_a_record_it_fails(llmspell, write):
    done = llmspell("run", "--no-record", str(write("spell.lua", ASK)))
    assert done.code == 3
    assert "there is nobody to ask" in done.err


def test_a_run_that_is_busy_or_over_is_told_nothing(llmspell, suspended):
    run = suspended(ASK)
    assert llmspell("answer", run, "Oslo").code == 0
    assert llmspell("answer", run, "Rome").code == 2  # it is answered
    assert llmspell("resume", run).out.endswith("off to Oslo\n")
    assert llmspell("answer", run, "Rome").code == 2
    assert llmspell("answer", "nix", "Rome").code == 2
    assert llmspell("answer", "a", "b", "c", "d").code == 2
