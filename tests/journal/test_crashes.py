"""Processes that are really killed: their runs go on as if nothing had happened."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from llmspell.config import Project
from llmspell.human import Question
from llmspell.journal.reader import Reader
from llmspell.providers.messages import ModelRequest, ToolCall
from llmspell.spell import parse_spell
from llmspell.testing import crash_matrix

VICTIM = Path(__file__).with_name("victim.py")
KILLED = -9

# In each, the names of what is done outside are unique.
SPELLS = {
    "steps": """
        print(math.random(1000000), os.time())
        local out = {}
        for i = 1, 4 do out[i] = work{name = "step " .. i} end
        out[5] = try(fails, {name = "no"})
        return out
    """,
    "tasks": """
        local order = {}
        local function branch(i)
          local first = work{name = "first " .. i, seconds = 0.001 * (i % 3)}
          local inner = Task.map({1, 2, 3}, function(j)
            local done = slow_work{name = "inner " .. i .. "." .. j}
            order[#order + 1] = i .. "." .. j
            return done
          end)
          order[#order + 1] = i
          return {first, inner}
        end
        local results = Task.map({1, 2, 3, 4, 5, 6, 7, 8}, branch)
        return {results, #order, table.concat(order, " ", 1, 0)}
    """,
    "agents": """
        local calls = 0
        Tool.define{name = "double", params = {name = "string"}, run = function(args)
          calls = calls + 1
          return work{name = "tool of " .. args.name}
        end}
        Hook.before("tool.call", function(context) calls = calls + 100 end)
        local answers = Task.map({"a", "b double", "c"}, function(what)
          return Agent.create{tools = {"work", "double"}}:prompt(what)
        end)
        return {answers, calls}
    """,
    "state": """
        State.set("n", 0)
        State.set("sum", 0)
        Task.map({1, 2, 3, 4}, function(i)
          State.update("n", function(n) return n + i end)
          State.increment("sum", i)
        end)
        local slow = Task.spawn(function() Task.sleep(60) end)
        local first = Task.race{
          function() Task.sleep(0.01) return "quick" end,
          function() Task.sleep(30) return "slow" end,
        }
        slow:cancel()
        return {State.get("n"), State.get("sum"), first}
    """,
    "child": """
        local function child(n)
          return Spell.run([[return {work{name = "child " .. arg[1]}, work{name = "again " .. arg[1]}}]],
            {arguments = {n}, grants = {tool = {"work"}}})
        end
        return #Task.map({"1", "2"}, child)
    """,
    "state of a child": """
        return Spell.run([[
          Task.map({1, 2}, function(i) State.set("k" .. i, i, {ttl = 60}) end)
          State.increment("n", 2)
          State.update("n", function(n) return n * 5 end)
          State.set("gone", 1)
          State.delete("gone")
          local swapped = {State.compare_and_set("n", 10, 11), State.compare_and_set("n", 10, 12)}
          os.time()
          return {State.get("n"), State.keys(), swapped}
        ]])
    """,
    "hooks": """
        Hook.before("tool.call", function(call)
          if call.args.args.name ~= "hooked" then return end
          work{name = "from a hook"}
          return Hook.modify{name = "work", args = {name = "changed"}}
        end)
        Hook.after("state.set", function() State.increment("sets") end)
        Hook.on_error("tool.call", function() return Hook.fork{{"state.set", {key = "failed", value = 1}}} end)
        local out = {work{name = "hooked"}, try(fails, {name = "no"})}
        Task.map({1, 2}, function(i) State.set("k" .. i, i) end)
        out[3] = Spell.run([[
          local within = 0
          Hook.before("tool.call", function() os.time() within = within + 1 end)
          return {work{name = "in a child"}, within}
        ]], {grants = {tool = {"work"}}})
        return {out, State.get("sets"), State.get("failed")}
    """,
    "streams": """
        local agent = Agent.create{tools = {"work"}}
        local pieces = {}
        for piece in agent:stream("streamed") do pieces[#pieces + 1] = piece end
        for piece in agent:stream("left early") do break end
        return {pieces, (agent:prompt("at once"))}
    """,
    "people": """
        local answer = Human.ask("Go on?", {choices = {"yes", "no"}})
        local approved = Human.approve("to work", {name = "work for " .. answer})
        return work(approved)
    """,
}


def tools_of(folder: Path) -> dict[str, Any]:
    """What the spells call: it says in a file what it did."""

    def note(name: str) -> str:
        with (folder / "done.log").open("a") as log:
            log.write(f"{name}\n")
        return f"did {name}"

    async def work(args: dict[str, Any]) -> str:
        await asyncio.sleep(args.get("seconds", 0))
        return note(args["name"])

    async def slow_work(args: dict[str, Any]) -> str:
        return await asyncio.to_thread(note, args["name"])

    def fails(args: dict[str, Any]) -> None:
        note(args["name"])
        raise ValueError(f"{args['name']} fails")

    return {"work": work, "slow_work": slow_work, "fails": fails}


def says(request: ModelRequest) -> str | ToolCall:
    """A model that calls a tool once, and then says what it was told."""
    last = request.messages[-1]
    if last.role == "tool":
        return f"so: {last.content[0].content[0].text}"
    return ToolCall("1", "double" if "double" in last.text else "work", {"name": last.text})


@pytest.mark.parametrize("name", SPELLS)
def test_a_kill_after_every_effect(name, tmp_path):
    spell = parse_spell(SPELLS[name].encode(), name=name, file=f"{name}.lua")
    options = {"script": says, "tools": tools_of(tmp_path), "project": Project(tmp_path)}
    options["answers"] = lambda asked: "yes" if isinstance(asked, Question) else True
    assert crash_matrix(spell, **options) >= 3
    once = {"steps": 5, "tasks": 8 + 8 * 3, "agents": 3, "state": 0, "child": 4}
    once |= {"state of a child": 0, "hooks": 4, "streams": 3, "people": 1}
    assert len(done_outside(tmp_path)) == once[name]


def done_outside(folder: Path) -> Counter[str]:
    log = folder / "done.log"
    return Counter(log.read_text().splitlines()) if log.exists() else Counter()


def recorded(folder: Path, run_id: str) -> dict[str, str | None]:
    """The leaves of a run by path, each with the name of the work that it was, if it was some."""
    with Reader.open(folder / ".llmspell" / "runs.db") as reader:
        effects = reader.effects(reader.run(run_id))
        found = {e.path: e.args["args"]["name"] if e.name == "tool.call" else None for e in effects}
    assert len(found) == len(effects), "an effect was recorded twice"
    return found


def test_kills_at_any_moment(tmp_path):
    """`make stress`: a run is killed again and again, until it has ended."""
    spell = tmp_path / "tasks.lua"
    spell.write_text(SPELLS["tasks"])
    chance, kills = random.Random(7), 0
    wanted = int(os.environ.get("LLMSPELL_KILLS", "4"))
    while kills < wanted:
        (tmp_path / "done.log").unlink(missing_ok=True)
        run, before, died = "new", {}, 0
        while True:
            process = subprocess.Popen(
                [sys.executable, VICTIM, tmp_path, spell, run],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            if died < 4:
                line = process.stdout.readline()  # the run has begun
                run = line.strip() or run
                time.sleep(chance.uniform(0, 0.15))
                process.kill()
            _, err = process.communicate(timeout=60)
            if process.returncode == 0:
                break
            assert process.returncode == KILLED, err
            died += 1
            kills += 1
            if run != "new":
                after = recorded(tmp_path, run)
                assert before.items() <= after.items()
                before = after
                if status(tmp_path, run) == "completed":
                    break  # it was killed on its way out
        if run != "new":
            check_complete(tmp_path, run, died)


def status(folder: Path, run_id: str) -> str:
    with Reader.open(folder / ".llmspell" / "runs.db") as reader:
        return reader.run(run_id).status


def check_complete(folder: Path, run: str, kills: int) -> None:
    """All was done, and what was done twice was in flight when the process was killed."""
    done = done_outside(folder)
    names = {name for name in recorded(folder, run).values() if name}
    assert names == done.keys()
    assert len(names) == 8 + 8 * 3
    assert max(done.values()) <= 1 + kills
