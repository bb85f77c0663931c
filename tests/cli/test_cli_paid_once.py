"""What providers may have billed counts for the budget of a run, however often it is killed."""

import json
import random
import re
import signal
import sqlite3
import time
from contextlib import closing

import pytest

# An answer has two tokens, and may have no more.
ASK = 'print((Agent.create{max_tokens = 2}:prompt("hello")))\n'
AT_ONCE = """
local answers = Task.map({1, 2, 3, 4, 5, 6, 7, 8, 9}, function(n)
  local agent = Agent.create{max_tokens = 2}
  for i = 1, 3 do agent:prompt(n .. "." .. i) end
end)
"""
KILLED = -signal.SIGKILL


@pytest.fixture
def priced(model, project):
    """Names a model an answer of which may cost so many dollars."""
    file = project / "llmspell.toml"

    def naming(mood, usd=0.2):
        price = f'[prices]\n"test/*" = {{input = 0, output = {usd * 500_000}}}\n'
        file.write_text(file.read_text() + price)
        return model(mood)

    return naming


@pytest.fixture
def killed_while_asking(started, model):
    """Have a process killed once the model was asked; what it wrote to stderr."""

    def killing(*arguments, by=signal.SIGKILL):
        model.asked.clear()
        with started(*arguments) as process:
            assert model.asked.wait(60)
            process.send_signal(by)
            _, err = process.communicate(timeout=60)
        return process.returncode, err.decode()

    return killing


def test_a_budget_holds_over_kills(priced, killed_while_asking, llmspell, write, model):
    write("ask.lua", ASK)
    code, _ = killed_while_asking("run", priced("slow-60"), "--budget=0.50", "ask.lua")
    assert code == KILLED
    assert killed_while_asking("resume", "last")[0] == KILLED
    model.asked.clear()
    done = llmspell("resume", "last")
    assert (done.code, done.out) == (4, "")
    assert "as that may cost $0.2000 and $0.1000 is left" in done.err
    assert "spent on test/slow-60: 2 calls (2 unreported)" in done.err
    assert re.match(
        r"0 calls, 0 tokens, \$0, .* s; previously: 2 calls \(2 unreported\), \d+ tokens, at most \$0.4000\n",
        done.err,
    )
    assert not model.asked.is_set()
    shown = llmspell("show", "last")
    assert "model calls 2 (2 unreported)" in shown.out
    assert "cost at most $0.4000" in shown.out


def test_a_run_that_had_no_budget_has_spent_all_the_same(
    priced, killed_while_asking, llmspell, write, model
):
    write("ask.lua", ASK)
    killed_while_asking("run", priced("slow-60"), "ask.lua")
    model.asked.clear()
    done = llmspell("resume", "--budget=0.30", "last")
    assert done.code == 4
    assert "as that may cost $0.2000 and $0.1000 is left" in done.err
    assert not model.asked.is_set()


def test_ctrl_c_says_what_it_may_cost(priced, killed_while_asking, llmspell, write):
    write("ask.lua", ASK)
    code, err = killed_while_asking(
        "run", priced("slow-60"), "--budget=0.30", "ask.lua", by=signal.SIGINT
    )
    assert code == 130
    assert re.match(r"1 call \(1 unreported\), \d+ tokens, at most \$0.2000, ", err)
    done = llmspell("resume", "last")
    assert (done.code, done.out) == (4, "")
    assert "$0.1000 is left" in done.err


def test_the_budget_of_an_agent_knows_too(priced, killed_while_asking, llmspell, write, model):
    source = """
        local agent = Agent.create{max_tokens = 2, budget = {usd = 0.3}}
        local ok, problem = pcall(agent.prompt, agent, "hello")
        print(ok or problem.code)
    """
    write("ask.lua", source)
    killed_while_asking("run", priced("slow-60"), "ask.lua")
    model.asked.clear()
    done = llmspell("resume", "last")
    assert (done.code, done.out) == (0, "budget_exceeded\n")
    assert not model.asked.is_set()


def test_what_a_failed_attempt_may_have_cost_is_not_forgotten(priced, llmspell, write):
    write("ask.lua", ASK)
    failed = llmspell("run", priced("half"), "--budget=0.50", "ask.lua")
    assert failed.code == 1
    assert failed.err.startswith("1 call (1 unreported), ")
    again = llmspell("resume", "last")
    assert again.code == 1
    assert "; previously: 1 call (1 unreported)" in again.err
    last = llmspell("resume", "last")
    assert last.code == 4
    assert "$0.1000 is left" in last.err
    assert "2 calls (2 unreported)" in llmspell("show", "last").out.replace(
        "model calls 2", "2 calls"
    )


def test_a_run_that_goes_on_goes_on_as_if_nothing_had_been_paid(
    priced, killed_while_asking, llmspell, write, project
):
    """An answer that comes after all is part of its leaf, and is counted once."""
    write("ask.lua", 'print((Agent.create{max_tokens = 2, model = "test/slow-1"}:prompt("hello")))')
    priced("ok")
    killed_while_asking("run", "--budget=0.50", "ask.lua")
    done = llmspell("resume", "last")
    assert (done.code, done.out) == (0, "Hello to you.\n")
    with closing(sqlite3.connect(project / ".llmspell" / "runs.db")) as db:
        assert db.execute("SELECT answered FROM payments").fetchall() == [(0,)]
        [(usage,)] = db.execute("SELECT usage FROM effects WHERE usage IS NOT NULL").fetchall()
    assert json.loads(usage)["usd"] == 0.2
    assert "unanswered" not in json.loads(usage)
    shown = llmspell("show", "last").out
    assert "model calls 2 (1 unreported)" in shown
    assert "cost at most $0.4000" in shown


def test_no_kill_at_any_moment_makes_a_request_free(priced, started, llmspell, write, model):
    """Many at once, killed at random: the server has answered no more than the budget allows."""
    chance = random.Random(7)
    write("ask.lua", AT_ONCE)
    command = ["run", priced("slow-0.05", usd=0.01), "--budget=0.30", "ask.lua"]
    for _ in range(8):
        with started(*command) as process:
            assert model.asked.wait(60)
            time.sleep(chance.random() * 0.2)
            process.kill()
            process.wait()
        command = ["resume", "last"]
        model.asked.clear()
        asked = len(model.server.requests)
        assert asked <= 30
        if asked > 20:
            break
    done = llmspell(*command)
    assert done.code == 4
    assert len(model.server.requests) <= 30
