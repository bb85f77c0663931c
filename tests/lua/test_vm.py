"""What a state costs, and what it loads only when it is used."""

import gc
from typing import NamedTuple

import pytest

from llmspell import Limits
from llmspell.bridge import Bridges
from llmspell.lua import messages
from llmspell.lua.image import LuaPart, build
from llmspell.lua.vm import Vm


def new_vm(*own, **limits):
    image = build([*Bridges([]).lua(), *own])
    return Vm(Limits(**limits), seed=1, image=image, tools=())


class Told:
    """What Lua said, as tuples."""

    def __init__(self):
        self.all = []

    def requested(self, task, path, name, args, functions, size):
        self.all.append(("requested", task, name))

    def cancelled(self, task):
        self.all.append(("cancelled", task))

    def returned(self, call, value):
        self.all.append(("returned", value))

    def failed(self, call, failure):
        self.all.append(("failed", failure))

    def printed(self, text):
        self.all.append(("printed", text))


class Turn(NamedTuple):
    more: bool
    kill: messages.Kill | None


def tell(vm, message):
    told = Told()
    reader = messages.Reader(told, memory=1 << 20)
    more = reader.read(vm.resume(message))
    return Turn(more, reader.kill), told.all


def run(source, *own, **limits):
    return tell(new_vm(*own, **limits), messages.main("@spell.lua", source.encode(), {}, []))


def test_a_new_state_is_small():
    assert new_vm().memory_used < 85_000


def test_hiding_that_memory_ran_out_gives_no_more_of_it():
    vm = new_vm(memory=4 << 20)
    source = b"""
        local hiding = setmetatable({}, {__close = function(_, e) error("hid: " .. e, 0) end})
        local hidden = {}
        local function hoard()
          local hoard = {}
          for j = 1, 1e9 do hoard[j] = {j} end
        end
        for i = 1, 3 do
          local co = coroutine.create(function()
            local _ <close> = hiding
            local _ <close> = setmetatable({}, {__close = hoard})
            coroutine.yield()
          end)
          coroutine.resume(co)
          hidden[i] = select(2, coroutine.close(co))
        end
        return hidden"""
    _, told = tell(vm, messages.main("@spell.lua", source, {}, []))
    assert told == [("returned", ["hid: not enough memory"] * 3)]
    assert vm.memory_used < 4 << 20


def test_a_spell_that_waits_is_small():
    vm = new_vm()
    _, told = tell(vm, messages.main("@spell.lua", b"Task.sleep(1)", {}, []))
    assert told == [("requested", 1, "task.sleep")]
    assert vm.memory_used < 100_000


def test_states_use_the_code_where_it_lies():
    vms = [new_vm() for _ in range(20)]
    build.__globals__["_build"].cache_clear()
    gc.collect()
    for vm in vms:
        _, told = tell(vm, messages.main("@spell.lua", b"return ('a-b'):gsub('%-', '+')", {}, []))
        assert told == [("returned", "a+b")]


@pytest.mark.parametrize(
    ("use", "value"),
    [
        ("JSON.null ~= nil", True),
        ("('a1b'):match('%d')", "1"),
        ("('%5s'):format('x')", "    x"),
        ("table.concat({1, 2}, '-', 2)", "2"),
        ("coroutine.wrap(function() return 3 end)()", 3),
        ("tostring({})", "table: 1"),
        ("select(2, xpcall(error, function(e) return e .. '!' end, 'x'))", "x!"),
    ],
)
def test_what_is_rare_is_loaded_where_no_effect_could_be_performed(use, value):
    """C calls the metamethod of an operand of string arithmetic."""
    source = f"return '1' + setmetatable({{}}, {{__add = function() return {use} end}})"
    assert run(source)[1] == [("returned", value)]


def test_functions_loaded_later_are_the_same_before_and_after():
    source = """
        local pack, wrap, time = string.pack, coroutine.wrap, os.time
        pack('b', 1) wrap(print)
        return pack == string.pack and wrap == coroutine.wrap and time == os.time"""
    turn, told = run(source)
    assert told[-1] == ("returned", True)
    assert not turn.kill


def test_what_a_spell_does_to_its_libraries_harms_no_part_that_is_loaded_later():
    source = """
        for _, library in pairs{string, table, math, coroutine, os, utf8} do
          for name in pairs(library) do library[name] = false end
        end
        local globals = _G
        for name in pairs(globals) do
          if name ~= "Task" then globals[name] = nil end
        end
        Task.sleep(1)"""
    assert run(source)[1] == [("requested", 1, "task.sleep")]
    source = """
        local match, format = string.match, string.format
        for _, library in pairs{string, table, math} do
          for name in pairs(library) do library[name] = false end
        end
        return format("%s %q", match("ab12", "%d+"), "x")"""
    assert run(source)[1] == [("returned", '12 "x"')]


def test_a_turn_ends_when_the_host_has_enough_to_do():
    """Tasks that are cancelled in the turn in which they request something need little memory."""
    source = """
        local function nothing() end
        for _ = 1, 3000 do
          local waiting = Task.spawn(Task.sleep, 1)
          Task.spawn(nothing):await()
          waiting:cancel()
        end
        return "done" """
    vm = new_vm()
    turns = [tell(vm, messages.main("@spell.lua", source.encode(), {}, []))]
    while turns[-1][0].more:
        turns.append(tell(vm, b""))
    requests = [sum(record[0] == "requested" for record in told) for _, told in turns]
    assert max(requests) <= messages.MAX_REQUESTS
    assert sum(requests) == 3000
    assert turns[-1][1][-1] == ("returned", "done")


def test_loading_a_part_counts_as_memory_of_the_spell():
    source = """
        local all = {}
        pcall(function() for i = 1, 1e7 do all[i] = i .. "" end end)
        return ("x"):match("%a")"""
    turn, _ = run(source, memory=1 << 20)
    assert turn.kill.limit == "memory"


def test_a_failure_tells_of_the_lines_of_the_spell_only():
    _, told = run("local t = {}\nt[1] = ('x'):rep(-1):match('(')\n")
    failure = told[0][1]
    assert failure.text == "spell.lua:2: unfinished capture"
    assert failure.where == "spell.lua:2"
    lines = [line for line in failure.traceback.splitlines() if "spell.lua" in line]
    assert lines == ["\tspell.lua:2: in main chunk"]


def test_an_error_in_our_own_code_has_no_line_of_it():
    part = LuaPart("mine", "return { fail = function(t) return t.x.y end }")
    _, told = run("return select(2, pcall(fail, {}))", part)
    assert told == [("returned", "attempt to index a nil value (field 'x')")]


def test_what_is_printed_goes_out_before_the_spell_goes_on():
    vm = new_vm()
    turn, told = tell(
        vm, messages.main("@spell.lua", b"Task.sleep(1) print('a') print('b')", {}, [])
    )
    assert not turn.more
    for line in "ab":
        turn, told = tell(vm, messages.reply(1, None) if line == "a" else b"")
        assert turn.more
        assert told == [("printed", f"{line}\n")]
    assert tell(vm, b"")[1] == [("returned", None)]
