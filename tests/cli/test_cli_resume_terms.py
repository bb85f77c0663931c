"""`llmspell resume` keeps what the run was given on the command line."""

import re

IN_MEMORY = """
State.increment("n")
State.increment("n")
return State.increment("n")
"""


def test_state_in_memory(llmspell, write):
    write("count.lua", IN_MEMORY)
    llmspell("exec", "State.set('n', 100)")
    stopped = llmspell("run", "--state", "memory", "--limit", "effects=1", "count.lua")
    id_ = re.search(r"llmspell resume (\S+)", stopped.err)[1]
    stopped = llmspell("resume", "--limit", "effects=2", id_)
    assert stopped.code == 4
    assert llmspell("resume", "--limit", "effects=9", id_).out == "3\n"
    assert llmspell("exec", "return State.get('n')").out == "100\n"


def test_a_limit_and_isolation(llmspell, write):
    write("count.lua", IN_MEMORY)
    stopped = llmspell("run", "--isolate", "--limit", "effects=2", "count.lua")
    id_ = re.search(r"llmspell resume (\S+)", stopped.err)[1]
    assert "too many effects (2)" in llmspell("resume", id_).err
    assert llmspell("resume", "--limit", "effects=1000000", id_).out == "3\n"
