"""What a spell may do: flags, settings, and questions on a terminal."""

import json
import shlex

import pytest

from llmspell.cli.grants import grant_options, grants_in, with_values

READ = "return read_file{path = arg[1] or 'note.txt'}"


@pytest.fixture
def note(write):
    write("b.txt", "other")
    return write("note.txt", "tea")


# Flags

USES = {
    "read": ("read_file{path = 'note.txt'}", "note.txt", "other.txt"),
    "write": ("write_file{path = 'new.txt', content = ''}", "new.txt", "note.txt"),
    "net": ("http_request{url = 'http://127.0.0.1:1/'}", "127.0.0.1", "*"),
    "run": ("run_program{program = 'true'}", "true", "false"),
    "env": ("os.getenv('HOME')", "HOME", "PATH"),
}


@pytest.mark.parametrize("kind", USES)
def test_each_kind_is_granted_and_denied_by_flags(llmspell, note, kind):
    lua, target, other = USES[kind]
    refused = llmspell("exec", lua)
    assert refused.code == 3
    assert f"hint: grant it with --allow-{kind}={target}" in refused.err
    granted, failed = llmspell("exec", lua, f"--allow-{kind}={target}"), 1 if kind == "net" else 0
    assert granted.code == failed, granted.err  # nobody listens at that port
    denied = llmspell("exec", lua, "-A", f"--deny-{kind}={target}")
    assert (denied.code, "it is denied" in denied.err) == (3, True)
    assert llmspell("exec", lua, f"--allow-{kind}={other}").code == 3


@pytest.mark.parametrize("verb", ["allow", "deny"])
@pytest.mark.parametrize(
    ("typed", "targets"),
    [
        (["--{}-read"], ()),
        (["--{}-read=*"], ()),
        (["--{}-read", "--{}-read=a"], ()),
        (["--{}-read=a,b", "--{}-read=c"], ("a", "b", "c")),
        (["--{}-read=a,,b,c"], ("a,b", "c")),
        (["--{}-read=,a,"], ("a",)),
        ([], None),
        (["--", "--{}-read"], None),
        (["--{}-net", "--{}-net=10.0.0.0/8"], ("*", "10.0.0.0/8")),
    ],
)
def test_how_flags_are_read(verb, typed, targets):
    args = with_values([option.format(verb) for option in typed], grant_options())
    kind = "net" if "net" in str(typed) else "read"
    values = [a.partition("=")[2] for a in args if a.startswith(f"--{verb}-{kind}=")]
    assert grants_in({f"{verb}_{kind}": tuple(values)}, verb)[kind] == targets


@pytest.mark.parametrize(
    "words",
    [
        "note.lua --allow-read -- note.txt",
        "note.lua x --allow-read",
        "--allow-read note.lua",
        "note.lua --allow-read -q",
        "exec --allow-read return(#arg)",
    ],
)
def test_a_bare_flag_grants_everything(llmspell, write, words):
    write("note.lua", "return #arg")
    assert llmspell(*words.split()).code == 0


def test_the_hint_can_be_pasted_into_a_shell(shell, write):
    name = "it's a,b\n*~ $HOME.txt"
    write(name, "tea")
    lua = shlex.quote(f"return read_file{{path = {json.dumps(name)}}}")
    refused = shell(f"llmspell exec {lua}")
    hint = refused.err.partition("hint: grant it with ")[2].strip()
    assert refused.code == 3
    assert "\n" not in hint
    assert shell(f"llmspell exec {hint} {lua}").out == "tea\n"


def test_tools_and_models_by_flags(llmspell, tools, model):
    call = "return add{a = 1}"
    assert llmspell("exec", tools, call).out == "2\n"
    assert llmspell("exec", tools, call, "--deny-tool=add").code == 3
    ask = "return (Agent.create{}:prompt('hi'))"
    assert llmspell("exec", model("ok"), ask).out == "Hello to you.\n"
    done = llmspell("exec", model("ok"), ask, "--allow-llm=test/other")
    assert (done.code, "--allow-llm=test/ok" in done.err) == (3, True)
    assert llmspell("exec", model("ok"), ask, "--deny-llm=test/*").code == 3


def test_a_strangers_spell_and_a_python_tool(llmspell, tools, write):
    spell = write("s.lua", "return add{a = 1}")
    done = llmspell(str(spell), "--untrusted", tools)
    assert (done.code, done.err.splitlines()[-1]) == (3, "hint: grant it with --allow-tool=add")
    assert llmspell(str(spell), "--untrusted", tools, "--allow-tool=add").out == "2\n"


def test_flags_before_and_after_the_spell_add_up(llmspell, write, note):
    write("s.lua", "return read_file{path = 'note.txt'} .. read_file{path = 'b.txt'}")
    assert (
        llmspell("run", "--allow-read=b.txt", "s.lua", "--allow-read=note.txt").out == "teaother\n"
    )
    assert llmspell("run", "-A", "s.lua", "--deny-read=b.txt").code == 3


def test_help_lists_every_flag(llmspell):
    text = llmspell("run", "--help").out
    for kind in ("read", "write", "net", "run", "env", "tool", "llm"):
        assert f"--allow-{kind}[=" in text
        assert f"--deny-{kind}[=" in text
    assert "--no-prompt" in text


# Settings


def test_settings_grant_and_deny(llmspell, write, note, project):
    write("llmspell.toml", '[permissions]\nread = ["."]\n[permissions.deny]\nread = ["b.txt"]\n')
    (project / "sub").mkdir()
    assert llmspell("exec", READ).out == "tea\n"
    below = project / "sub"
    assert llmspell("exec", READ, "../note.txt", cwd=below).out == "tea\n"
    assert llmspell("exec", READ, "../b.txt", "-A", cwd=below).code == 3


@pytest.mark.parametrize(
    "words", ["note.lua x --allow-read note.txt", "exec 1 --allow-read .", "test --allow-read ."]
)
def test_a_value_without_its_sign_is_refused(llmspell, write, words):
    write("note.lua", "return #arg")
    done = llmspell(*words.split())
    assert (done.code, "the value has to follow an =" in done.err) == (2, True)


@pytest.mark.parametrize("kind", ["read", "write", "net", "run", "env", "tool", "llm"])
def test_a_target_without_text_is_refused(llmspell, write, kind):
    """An unset variable of a shell would deny nothing, and in settings a path would be the project."""
    for verb in ("allow", "deny"):
        done = llmspell("exec", f"--{verb}-{kind}=", "return 1")
        assert (done.code, done.err.splitlines()[0]) == (
            2,
            f"error: --{verb}-{kind}: '' names nothing",
        )
    write("llmspell.toml", f'[permissions.deny]\n{kind} = [""]')
    done = llmspell("exec", "return 1")
    assert (done.code, f"permissions.deny.{kind}: '' names nothing" in done.err) == (2, True)


def test_a_target_that_could_cover_nothing_is_told(llmspell, write):
    for flag, target in (
        ("--allow-net", "http://a.b"),
        ("--deny-net", "a.b/"),
        ("--deny-llm", "gpt"),
    ):
        done = llmspell("exec", "-A", f"{flag}={target}", "return 1")
        assert done.code == 2
        assert done.err.startswith(f"error: {flag}: {target!r} is not a ")
    write("llmspell.toml", '[permissions.deny]\nnet = ["10.0.0.0/33"]')
    done = llmspell("exec", "return 1")
    assert done.code == 2
    assert "llmspell.toml: permissions.deny.net: '10.0.0.0/33' is not a host" in done.err


def test_wrong_front_matter_is_told_with_its_place(llmspell, write):
    write("s.lua", "", "[permissions]\nreed = []\nnet = 'x'")
    done = llmspell("s.lua")
    assert done.code == 2
    assert "permissions.reed: unknown kind" in done.err
    assert "permissions.net: must be a list of strings" in done.err
    assert done.err.startswith("error: s.lua: ")


# Questions

CHOICES = "y = once, r = for this run, a = always, n = no: "
PLAIN = "\x1b[0m"


@pytest.fixture
def asked(terminal, note):
    """Starts a command on a terminal and waits for its question."""

    def starting(*arguments, text=CHOICES):
        seen = terminal(*arguments)
        seen.wait_for(text)
        return seen

    return starting


def test_a_question_names_spell_tool_and_place(asked, project):
    seen = asked("exec", READ, "sub/../note.txt")
    assert f"exec: read_file wants to read {project / 'note.txt'}\r\nAllow it? " in seen.sent
    seen.type("y\n")
    assert seen.wait() == 0
    assert seen.screen.lines[-1] == "tea"
    assert not (project / ".llmspell" / "grants.json").exists()


@pytest.mark.parametrize("reply", ["yes", "Once", "for this run", "run", "always"])
def test_a_reply_may_be_written_out(asked, reply):
    seen = asked("exec", READ)
    seen.type(f"{reply}\n")
    assert seen.wait() == 0


@pytest.mark.parametrize("reply", ["n", "N", "no", "\x04"])
def test_a_no_is_a_refusal(asked, reply):
    seen = asked("exec", READ)
    seen.type(f"{reply}\n" if reply != "\x04" else reply)
    assert seen.wait() == 3
    assert seen.screen.lines[-1] == "hint: grant it with --allow-read=note.txt"


def test_anything_else_asks_again(asked):
    seen = asked("exec", READ)
    for reply in ("", "yes please", "x"):
        seen.sent = ""
        seen.type(f"{reply}\n")
        seen.wait_for(CHOICES)
    seen.type("R\n")
    assert seen.wait() == 0


def test_always_is_remembered_in_the_project(asked, llmspell, project):
    seen = asked("exec", READ)
    seen.type("a\n")
    assert seen.wait() == 0
    assert llmspell("exec", READ).out == "tea\n"
    assert llmspell("exec", f"{READ} --").code == 3
    (project / ".llmspell" / "grants.json").write_text("{")
    done = llmspell("exec", READ)
    assert done.code == 3
    assert "warning: " in done.err
    assert "grants.json is ignored, as it is broken" in done.err


def test_a_stranger_cannot_be_granted_for_always(asked, write):
    spell = write("s.lua", READ)
    seen = asked("run", str(spell), "--untrusted", text="y = once, r = for this run, n = no: ")
    seen.sent = ""
    seen.type("a\n")
    seen.wait_for("n = no: ")
    seen.type("y\n")
    assert seen.wait() == 0


def test_what_front_matter_asks_for_is_one_question(asked, write, project):
    write("s.lua", READ, '[permissions]\nread = ["note.txt", "\\u001b[2J"]\nrun = ["*"]')
    seen = asked("s.lua", text="y = for this run, a = always, n = no: ")
    question = seen.sent.partition(PLAIN)[2].split("\r\n")
    assert question == [
        "s.lua asks to",
        f"  read {project / 'note.txt'}",
        f"  read {project}/\\x1b[2J",
        "  run every program",
        "Allow it? y = for this run, a = always, n = no: ",
    ]
    seen.type("y\n")
    assert seen.wait() == 0


def test_ctrl_c_at_a_question_ends_the_run(asked):
    seen = asked("exec", f"pcall(function() {READ} end) print('went on')")
    seen.interrupt()
    assert seen.wait() == 130
    assert "went on" not in seen.sent
    assert seen.screen.lines[-2] == "interrupted"


def test_what_was_typed_before_is_no_answer(terminal, note):
    seen = terminal("exec", f"print('wait') Task.sleep(0.5) {READ}")
    seen.wait_for("wait")
    seen.type("y\ny\n")
    seen.wait_for(CHOICES)
    seen.type("n\n")
    assert seen.wait() == 3


def test_a_line_typed_for_the_spell_stays_the_spells(terminal, note):
    lua = """
        print(Console.read_line("first: "))
        pcall(read_file, {path = "note.txt"})
        print(Console.read_line("second: "))
    """
    seen = terminal("exec", lua)
    for prompt, line in (("first: ", "one"), (CHOICES, "n"), ("second: ", "two")):
        seen.wait_for(prompt)
        seen.type(f"{line}\n")
    assert seen.wait() == 0
    assert seen.screen.lines[-1] == "two"


HOSTILE = """
local ESC = string.char(27)
Task.all{
  function() pcall(read_file, {path = "note.txt" .. ESC .. "[2Jx"}) end,
  function()
    print(ESC .. "[8mhidden")
    for _ = 1, 20 do
      Task.sleep(0.02)
      print(ESC .. "[1A" .. ESC .. "[2Kspoof")
      Log.warn("spoof")
    end
  end,
}
"""


def test_nothing_is_written_over_a_question(terminal, note, project):
    seen = terminal("exec", HOSTILE)
    seen.wait_for(CHOICES)
    question = seen.sent.rpartition("hidden\r\n")[2] or seen.sent
    seen.wait_for_silence(0.7)
    assert "spoof" not in seen.sent
    assert question.startswith(PLAIN)
    assert f"read {project}/note.txt\\x1b[2Jx\r\n" in seen.sent
    seen.type("n\n")
    assert seen.wait() == 0
    assert seen.sent.count("spoof") == 40


def test_a_request_that_scrolls_out_of_sight_is_counted(terminal, write):
    """What comes first in a long list may be what matters."""
    files = ", ".join(f'"/tea/{number}"' for number in range(1000))
    write("s.lua", "print('brewed')", f'[permissions]\nrun = ["sh"]\nread = [{files}]')
    seen = terminal("s.lua")
    seen.wait_for("no: ")
    assert "Allow all 1,001? y = for this run" in seen.sent
    seen.type("n\n")
    assert seen.wait() == 0


def test_the_spinner_is_out_of_the_way(terminal, tools, note):
    lua = "Task.all{function() nap{seconds = 1} end, function() Task.sleep(0.4) pcall(read_file, {path = 'note.txt'}) end}"
    seen = terminal("exec", tools, lua)
    seen.wait_for("nap")
    seen.wait_for(CHOICES)
    seen.sent = ""
    seen.wait_for_silence(0.4)
    assert seen.sent == ""
    seen.type("n\n")
    assert seen.wait() == 0


def test_nobody_is_asked_without_a_terminal_or_when_not_wanted(terminal, note, project):
    with (project / "err").open("w") as err:
        for arguments, streams in ((["--no-prompt"], {}), ([], {"stderr": err})):
            seen = terminal("exec", READ, *arguments, **streams)
            assert seen.wait() == 3
            assert "Allow it?" not in seen.sent
    assert "Allow it?" not in (project / "err").read_text()


def test_who_types_the_spell_is_not_asked(terminal, note):
    seen = terminal("run", "-")
    seen.type(f"{READ}\n\x04")
    assert seen.wait() == 3
    assert "Allow it?" not in seen.sent
