"""A sample of the campaigns of fuzz.py, and that they see what they are for."""

import sys
from dataclasses import replace

import pytest
from fuzz import shrunk
from programs import PRELUDE, Program, program
from victim_process import VictimProcess

LIMITS = {"memory": 16 << 20, "instructions": 2_000_000, "time": 2, "effects": 200, "output": 1000}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def made_of(*lines):
    return Program((*PRELUDE.split("\n"), *lines), limits=LIMITS, replies=("yes",))


@pytest.mark.parametrize(("ring", "count"), [(1, 50), (2, 20)])
def test_nothing_gets_the_better_of_the_sandbox(ring, count):
    with VictimProcess(ring) as process:
        for number in range(count):
            assert process.take(program(number)).problem is None, f"program {number}"
        assert process.end() is None


def test_a_number_stands_for_a_program():
    assert program(7) == program(7) != program(8)
    assert Program.from_json(program(7).as_json()) == program(7)


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        ("return {1, 'a', {b = 2}}", "value"),
        ("error('x')", "SpellRuntimeError"),
        ("while true do end", "limit instructions"),
        ("return ('x'):rep(1 << 30)", "SpellRuntimeError"),
        ("while true do print('x') end", "limit output"),
        ("while true do State.get('k') end", "limit effects"),
        ("Task.sleep(1e9)", "cancelled"),
        ("return Agent.create{model = 'scripted/x'}:prompt('?')", "value"),
    ],
)
def test_how_programs_end(process, line, outcome):
    verdict = process.take(made_of(line))
    assert (verdict.outcome, verdict.problem) == (outcome, None)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("look({popen = print}, 0, {})", "BREACH: popen"),
        ("look({[{dump = print}] = 1}, 0, {})", "BREACH: dump"),
        ("look(setmetatable({}, {__index = {getinfo = print}}), 0, {})", "BREACH: getinfo"),
    ],
)
def test_what_no_spell_may_hold_is_noticed(process, line, problem):
    assert problem in process.take(made_of(line)).problem


def test_a_process_that_is_gone_is_noticed_and_replaced(process):
    process.take(made_of("return 1"))
    process._process.kill()
    verdict = process.take(made_of("return 1"))
    assert verdict.outcome == "crash"
    assert "ended with -9" in verdict.problem
    assert process.take(made_of("return 1")).problem is None


def test_a_program_is_cut_down_to_the_lines_that_matter():
    found = replace(program(1), lines=tuple("abcdefghij"))
    small = shrunk(found, lambda candidate: {"c", "h"} <= set(candidate.lines))
    assert small == replace(found, lines=("c", "h"))


@pytest.fixture(scope="module")
def process():
    with VictimProcess() as process:
        yield process
