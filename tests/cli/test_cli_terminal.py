"""On a terminal, a line shows what is being waited for; elsewhere, nothing of it is seen."""

import pytest

TALK = """
local writer = Agent.create{name = "writer"}
Task.all{
  function() print((writer:prompt("hello"))) end,
  function()
    for n = 1, 4 do
      print("line " .. n)
      Task.sleep(0.2)
    end
  end,
  function() Task.sleep(0.6) Log.warn("by the way") end,
}
"""
BILL = "1 call, 5 tokens, price unknown, "
LINES = ["line 1", "line 2", "line 3", "line 4"]


@pytest.fixture
def talk(write):
    return write("talk.lua", TALK)


def test_agents_and_models_are_named_and_lines_stay_whole(terminal, talk, model):
    seen = terminal("talk.lua", model("slow-1.2"))
    assert seen.wait() == 0
    assert "writer · test/slow-1.2" in seen.sent
    assert [line for line in seen.screen.lines if line.startswith("line")] == LINES
    assert "warning: by the way" in seen.screen.lines
    assert seen.screen.lines[-2] == "Hello to you."
    assert seen.screen.lines[-1].startswith(BILL)
    assert len(seen.screen.lines) == 7
    assert seen.screen.cursor_shown


def test_the_result_may_go_to_a_file(terminal, talk, model, project):
    with (project / "out").open("w") as out:
        seen = terminal("talk.lua", model("slow-1.2"), stdout=out)
        assert seen.wait() == 0
    assert "writer · test/slow-1.2" in seen.sent
    said, bill = seen.screen.lines
    assert (said, bill[: len(BILL)]) == ("warning: by the way", BILL)
    assert (project / "out").read_text().splitlines() == [*LINES, "Hello to you."]
    assert seen.screen.cursor_shown


def test_without_a_terminal_for_it_there_is_none(terminal, talk, model, project):
    with (project / "err").open("w") as err:
        seen = terminal("talk.lua", model("slow-1.2"), stderr=err)
        assert seen.wait() == 0
    assert seen.sent.split("\r\n") == [*LINES, "Hello to you.", ""]
    said, bill = (project / "err").read_text().splitlines()
    assert (said, bill[: len(BILL)]) == ("warning: by the way", BILL)


@pytest.mark.parametrize("flag", ["--quiet", "--verbose"])
def test_nor_when_it_is_not_wanted(terminal, tools, flag):
    seen = terminal("exec", tools, flag, "return nap{seconds = 0.5}")
    assert seen.wait() == 0
    assert "\x1b" not in seen.sent
    assert seen.screen.lines[-1] == "rested"


def test_what_is_quick_does_not_flicker(terminal, tools):
    seen = terminal("exec", tools, "for n = 1, 20 do add{a = n} end return 'ok'")
    assert seen.wait() == 0
    assert seen.sent == "ok\r\n"


def test_many_of_a_kind_are_counted(terminal, tools):
    lua = "Task.map({1, 2, 3}, function() nap{seconds = 0.6} end) nap{seconds = 0.3}"
    seen = terminal("exec", tools, lua)
    assert seen.wait() == 0
    assert "nap (3)" in seen.sent
    assert seen.screen.lines == []


def test_a_tool_that_prints(terminal, tools):
    seen = terminal("exec", tools, "return mutter{lines = 5}")
    assert seen.wait() == 0
    assert seen.screen.lines == [*(f"muttered {n}" for n in range(5)), "done"]


def test_what_a_tool_prints_goes_where_the_output_goes(terminal, tools, project):
    with (project / "out").open("w") as out:
        seen = terminal("exec", tools, "return mutter{lines = 4}", stdout=out)
        assert seen.wait() == 0
    assert (project / "out").read_text().splitlines() == [
        *(f"muttered {n}" for n in range(4)),
        "done",
    ]
    assert seen.screen.lines == []


def test_nothing_stands_behind_a_line_that_is_not_ended(terminal, tools):
    lua = """
        Console.write("begun ")
        nap{seconds = 0.6}
        Console.write("and ")
        Log.warn("by the way")
        print("ended")
        nap{seconds = 0.6}
        Console.write("begun again")
    """
    seen = terminal("exec", tools, lua)
    assert seen.wait() == 0
    assert seen.screen.lines == ["begun and", "warning: by the way", "ended", "begun again"]
    first, second = seen.sent.split("ended\r\n")
    assert "nap" not in first
    assert "nap" in second
    assert second.endswith("begun again\r\n")


def test_the_same_before_an_error(terminal):
    seen = terminal("exec", "Console.write('begun') error('stop')")
    assert seen.wait() == 1
    assert seen.screen.lines[:2] == ["begun", "error: exec:1: stop"]


def test_a_question_of_the_runtime_begins_a_line(terminal):
    lua = """
        Console.write("begun ")
        local tea = Human.ask("Tea?")
        Console.write(tea, " and ")
        pcall(read_file, {path = "/etc/passwd"})
        Console.write("end")
    """
    seen = terminal("exec", lua)
    seen.wait_for("> ")
    seen.type("green\n")
    seen.wait_for("Allow it?")
    seen.type("n\n")
    assert seen.wait() == 0
    lines = seen.screen.lines
    assert lines[:4] == ["begun", "exec asks: Tea?", "> green", "green and"]
    assert lines[4].startswith("exec: read_file wants to read /etc/passwd")
    assert lines[-1] == "end"


def test_a_question_that_is_written_is_answered_on_its_line(terminal, tools):
    lua = "Console.write('name? ') local name = Console.read_line() nap{seconds = 0.6} return name"
    seen = terminal("exec", tools, lua)
    seen.wait_for("name? ")
    seen.type("Ada\n")
    assert seen.wait() == 0
    assert "nap" in seen.sent
    assert seen.screen.lines == ["name? Ada", "Ada"]


@pytest.mark.parametrize("flag", ["-v", "-q"])
def test_a_line_that_was_entered_is_ended(terminal, flag):
    seen = terminal("exec", flag, "Console.write('name? ') return Console.read_line()")
    seen.wait_for("name? ")
    seen.type("Ada\n")
    assert seen.wait() == 0
    assert seen.sent == "name? Ada\r\nAda\r\n"


def test_ctrl_c_leaves_what_was_written(terminal):
    seen = terminal("exec", "Console.write('begun') while true do end")
    seen.wait_for("begun")
    seen.type("\x03")
    assert seen.wait() == 130
    assert seen.screen.lines[0].startswith("begun")
    assert seen.screen.lines[1] == "interrupted"


def test_an_error_ends_it(terminal, model):
    lua = "local x = Agent.create{}:prompt('hello')"
    seen = terminal("exec", model("500"), lua)
    assert seen.wait() == 1
    assert seen.screen.lines[0].startswith("error: exec:1: test: no, not now (HTTP 500)")
    assert seen.screen.cursor_shown


def test_a_conversation(terminal, model):
    seen = terminal("run", "chat", model("slow-0.4"))
    seen.wait_for("you: ")
    seen.type("hello\n")
    seen.wait_for("Hello to you.\r\nyou: ")
    seen.type("\n")
    assert seen.wait() == 0
    assert seen.screen.lines[:-1] == ["you: hello", "Hello to you.", "you:"]
    assert seen.screen.lines[-1].startswith(BILL)
