"""What a person reads when something is wrong: where, what, and what to do next."""

import pytest

from llmspell.cli.error_report import describe, exit_code


@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        ("run", "no spell given", "llmspell spells"),
        ("--frob", "no such option: --frob", "llmspell run --help"),
        ("run --modle=x a.lua", "no such option: --modle", "did you mean --model?"),
        ("rum a.lua", "no command or file named rum", "did you mean run?"),
        ("zzz", "no command or file named zzz", "llmspell --help"),
        ("helo", "no command or file named helo", "did you mean run hello?"),
        ("counter", "no command or file named counter", "llmspell run counter"),
        ("--json run a.lua", "no spell named run", "options go after the command"),
        ("run conter", "no spell named conter", "did you mean counter?"),
        ("run zzz", "no spell named zzz", "llmspell spells"),
        ("gone.lua", "no file gone.lua", "looked in "),
        ("run gone.lua", "no file gone.lua", "looked in "),
        ("tow.lua", "no file tow.lua", "did you mean two.lua?"),
        ("folder/tow.lua", "no file folder/tow.lua", "looked in "),
        ("two.lua --n 2", "no such option: --n", "llmspell run two.lua --help"),
        ("zzz.lua", "no file zzz.lua", "looked in "),
        ("two", "no command or file named two", "did you mean two.lua?"),
        ("run two", "no spell named two", "did you mean two.lua?"),
        (
            "two.lua --allow-read a.txt",
            "--allow-read a.txt: ",
            "write --allow-read=a.txt, or -- a.txt",
        ),
        ("two.lua --deny-net a -A", "--deny-net a: ", "write --deny-net=a, or -- a"),
        ("folder", "the folder folder has no main.lua", "name a file in it"),
        ("exec", "missing argument 'LUA'", "llmspell exec --help"),
        ("exec --state disk 1", "invalid value for '--state'", "llmspell exec --help"),
        ("tools no_such_thing_at_all", "no tool named 'no_such_thing_at_all'", "llmspell tools"),
        ("tools read_fil", "no tool named 'read_fil'", "did you mean 'read_file'"),
        ("tools --category x", "no tool has the category 'x'", "available: data, "),
        ("tools --tag x", "no tool has the tag 'x'", "no tool has a tag"),
        ("tools --search zzz", "no tool matches all of these options", "llmspell tools"),
        ("tools now@2", "no tool named 'now@2'", "did you mean 'now@1'?"),
        ("exec 1 --approve", "option '--approve' requires an argument", "llmspell exec --help"),
        ("two.lua --model", "option '--model' requires an argument", "llmspell run two.lua --help"),
        (
            "exec --approve tool.cal 1",
            "approved in advance: effects: tool.cal: no effect",
            "tool.call",
        ),
        ("runs -n -1", "invalid value for '-n' / '--limit'", "llmspell runs --help"),
        ("runs -n 99999999999999999999", "invalid value for '-n'", "llmspell runs --help"),
        ("runs prune --keep -1", "invalid value for '--keep'", "llmspell runs prune --help"),
        ("runs --spell a prune", "--spell stands before prune, ", "llmspell runs prune --help"),
        ("runs -n 3 prune", "--limit stands before prune, ", "llmspell runs prune --help"),
        ("providers --json check x", "--json stands before check", "providers check --help"),
        ("models --json pull smollm2", "--json stands before pull", "models pull --help"),
        ("show --json --effect 0/0", "--effect and --json do not go together", "one of them"),
        ("show --json --html a", "--html and --json do not go together", "give one of them"),
        ("tools a b", "got unexpected extra argument (b)", "llmspell tools --help"),
    ],
)
def test_what_was_typed(llmspell, project, words, said, hint):
    (project / "folder").mkdir()
    (project / "two.lua").write_text("return 2")
    done = llmspell(*words.split())
    assert (done.code, done.out) == (2, "")
    first, second = done.err.splitlines()
    assert first.startswith(f"error: {said}")
    assert second.startswith("hint: ")
    assert hint in second


def test_nothing_typed(llmspell):
    done = llmspell()
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Usage: llmspell ")
    assert llmspell("--help") == (0, done.err, "")


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (
            "local a = 1\nlocal b = = 2\n",
            "error: s.lua:2: unexpected symbol near '='\n  | local b = = 2\n",
        ),
        (
            "local a = nil\nreturn a.b\n",
            "error: s.lua:2: attempt to index a nil value (local 'a')\n  | return a.b\n",
        ),
        ("error('boo')\n", "error: s.lua:1: boo\n  | error('boo')\n"),
        (
            "error{code = 'mine', message = 'my words'}",
            "error: s.lua:1: my words\n  | error{code = 'mine', message = 'my words'}\n",
        ),
        ("error{b = {1}}", 'error: s.lua:1: {"b": [1]}\n  | error{b = {1}}\n'),
        ("\x1bLua\x54", "error: s.lua: attempt to load a binary chunk (mode is 't')\n"),
    ],
)
def test_a_spell_that_fails(llmspell, write, source, error):
    write("s.lua", source)
    assert llmspell("s.lua") == (1, "", error)


def test_a_failure_deep_inside_shows_the_way(llmspell, write):
    write("s.lua", "local function f(x)\n  return x.y.z + 1\nend\nlocal r = f({})\nreturn r\n")
    assert llmspell("s.lua").err == (
        "error: s.lua:2: attempt to index a nil value (field 'y')\n"
        "  | return x.y.z + 1\n"
        "Lua traceback (innermost first):\n"
        "  s.lua:2: in local 'f'\n"
        "  s.lua:4: in main chunk\n"
    )


@pytest.mark.parametrize(
    ("front", "error"),
    [
        (
            'description = "x\nlimits = {}',
            (
                "error: s.lua:2: front matter: Illegal character '\\n' (at line 2, column 17)\n"
                '  | --- description = "x\nhint: the format is TOML: https://toml.io\n'
            ),
        ),
        (
            'descrption = "x"',
            (
                "error: s.lua: front matter: unknown key 'descrption'\n"
                "hint: its keys are name, description, params, permissions, limits, approve\n"
            ),
        ),
        (
            '[params]\na = { type = "strin" }',
            (
                "error: s.lua: front matter: params.a: unknown type 'strin'\n"
                "hint: types are string, integer, number, boolean, list, table; "
                "keys are type, help, default, choices\n"
            ),
        ),
        (
            '[params]\n"a b" = 1',
            "error: s.lua: front matter: params.a b: its name must consist of letters, digits and _",
        ),
        (
            "[limits]\ntme = 3",
            "error: s.lua: front matter: limits.tme: no such limit\nhint: limits are memory, ",
        ),
    ],
)
def test_broken_front_matter(llmspell, write, front, error):
    write("s.lua", "return 1", front)
    done = llmspell("s.lua")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(error)


def test_a_broken_spell_toml(llmspell, write):
    write("f/main.lua", "return 1")
    write("f/spell.toml", "description = 'x'\nlimits = \n")
    done = llmspell("f")
    assert done.code == 2
    assert done.err.startswith("error: f/spell.toml:2: front matter: Invalid value")
    assert "\n  | limits =\n" in done.err


def test_what_cannot_be_read(llmspell, project):
    (project / "loop.lua").symlink_to("loop.lua")
    assert llmspell("loop.lua").code == 2
    done = llmspell("/proc/self/mem")
    assert done.code == 2
    assert done.err.startswith("error: cannot read /proc/self/mem: Input/output error\nhint: ")


def test_a_folder_that_is_gone(shell):
    done = shell("mkdir gone; cd gone; rmdir ../gone; llmspell exec 'return 1'")
    assert done == (2, "", "error: the current folder: it no longer exists\n")


@pytest.mark.parametrize(
    ("locked", "spell", "said"),
    [
        (
            "f",
            "f/s.lua",
            "cannot read f/s.lua: Permission denied\nhint: check who may read its folder",
        ),
        (
            "f",
            "f",
            "cannot read f/main.lua: Permission denied\nhint: check who may read its folder",
        ),
        ("f", "f/g", "cannot read f/g: Permission denied\nhint: check who may read its folder"),
        (
            "f/s.lua",
            "f/s.lua",
            "cannot read f/s.lua: Permission denied\nhint: check who may read it",
        ),
    ],
)
def test_what_may_not_be_read(unprivileged, write, project, locked, spell, said):
    write("f/s.lua", "return 1")
    write("f/main.lua", "return 1")
    (project / locked).chmod(0)
    done = unprivileged(spell)
    (project / locked).chmod(0o755)
    assert done == (2, "", f"error: {said}\n")


@pytest.mark.parametrize(
    ("settings", "said", "hint"),
    [
        ("model = 3", "model: input should be a valid string", None),
        ("a = \n", "Invalid value (at line 1, column 5)", "the format is TOML"),
        ("zzz = 1", "zzz is not a setting", "settings are model, embedder, isolate, state, "),
        ("[limits]\ntme = 1", "limits.tme is not a setting", "did you mean limits.time?"),
    ],
)
def test_a_wrong_llmspell_toml(llmspell, write, settings, said, hint):
    file = write("llmspell.toml", settings)
    done = llmspell("exec", "return 1")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: {file}: {said}")
    assert hint is None or f"\nhint: {hint}" in done.err


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (None, "error: no file t.py\nhint: looked in "),
        ("x = 1\n", "error: t.py does not define a tool\nhint: decorate a function with @tool\n"),
        (
            "def f():\n    raise RuntimeError('no database')\n\nf()\n",
            (
                "error: {file}:2: cannot load tools from t.py: RuntimeError: no database\n"
                "  | raise RuntimeError('no database')\nhint: "
            ),
        ),
        (
            "def f(:\n",
            (
                "error: {file}:1: cannot load tools from t.py: SyntaxError: invalid syntax (t.py, line 1)\n"
                "  | def f(:\nhint: "
            ),
        ),
        (
            "import nowhere_to_be_found\n",
            (
                "error: {file}:1: cannot load tools from t.py: "
                "ModuleNotFoundError: No module named 'nowhere_to_be_found'\n"
            ),
        ),
    ],
)
@pytest.mark.parametrize("command", [("exec", "return 1"), ("tools",)])
def test_tools_that_cannot_be_loaded(llmspell, write, project, text, error, command):
    if text is not None:
        write("t.py", text)
    done = llmspell(*command, "--tools", "t.py")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(error.format(file=project / "t.py"))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ('[tools]\nmodules = ["t.py"]', "tools.modules: no file {folder}/t.py"),
        ('[[hooks]]\nmodule = "nowhere:f"', "hooks.nowhere:f: cannot load a hook from nowhere: "),
        (
            '[[middleware]]\nname = "mine"\nmodule = "nowhere:f"',
            "middleware.mine: cannot load middleware from nowhere: ",
        ),
    ],
)
def test_what_settings_name_and_cannot_be_loaded(llmspell, write, project, settings, problem):
    file = write("llmspell.toml", settings)
    done = llmspell("exec", "return 1")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: {file}: {problem.format(folder=project)}")


@pytest.mark.parametrize("name", ["t.lua", ".", "lib/t"])
def test_tools_in_what_is_no_python(llmspell, write, name):
    write("t.lua", "return 1")
    done = llmspell("tools", "--tools", name)
    assert done.code == 2
    assert done.err.startswith(f"error: cannot load tools: {name} is not a Python file\n")


def test_a_tool_that_nobody_can_call(llmspell, write):
    write(
        "t.py", "from llmspell import tool\n\n@tool\ndef weird(x: 'Unseen') -> str:\n    'Weird.'\n"
    )
    for command in (("tools",), ("exec", "return 1")):
        done = llmspell(*command, "--tools", "t.py")
        assert done.code == 2
        assert done.err.startswith("error: the tool weird: its types name 'Unseen', which ")


def test_debug_shows_what_python_says(llmspell, write):
    write("t.py", "raise RuntimeError('no database')\n")
    done = llmspell("tools", "--tools=t.py", "--debug")
    assert done.code == 2
    assert done.err.startswith("Traceback (most recent call last)")
    assert 'File "' in done.err
    assert "error: " in done.err


@pytest.mark.parametrize(
    ("lua", "error"),
    [
        ("local x = explode{why = 'x'}", "exec:1: explode: KeyError: 'x'\n"),
        ("local x = add{b = 1}", "exec:1: add: a is required\nhint: takes a (integer), b "),
        ("Tool.call('ad', {a = 1})", "exec:1: no tool named 'ad'\nhint: did you mean 'add'"),
        (
            "local x = ad{a = 1}",
            "exec:1: attempt to call a nil value (global 'ad')\nhint: did you mean add?",
        ),
        ("local x = zzzz{}", "exec:1: attempt to call a nil value (global 'zzzz')\nhint: list the"),
        ("io.write('x')", "exec:1: attempt to index a nil value (global 'io')\nhint: spells "),
    ],
)
def test_a_tool_that_fails_or_is_not_there(llmspell, tools, lua, error):
    done = llmspell("exec", tools, lua)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"error: {error}")


def test_debug_shows_where_a_tool_failed(llmspell, tools):
    done = llmspell("exec", tools, "--debug", "local x = explode{why = 'x'}")
    assert done.code == 1
    assert "tools.py" in done.err
    assert "raise KeyError(why)" in done.err
    assert done.err.endswith("error: exec:1: explode: KeyError: 'x'\n")


BRIDGE = """\
from llmspell.bridge import Bridge

bridge = Bridge("wheel", __file__)


@bridge.effect()
def turn() -> int:
    raise RuntimeError("it came off")
"""
BRIDGE_LUA = """\
local host = ...
return {Wheel = {turn = function() return host.perform("wheel.turn", {}) end}}
"""


def test_a_plugin_that_breaks(llmspell, write):
    write("wheel_bridge.py", BRIDGE)
    write("wheel.lua", BRIDGE_LUA)
    write("wheel-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: wheel\nVersion: 1.0\n")
    write(
        "wheel-1.0.dist-info/entry_points.txt", "[llmspell.bridges]\nwheel = wheel_bridge:bridge\n"
    )
    done = llmspell("exec", "local x = Wheel.turn()")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "error: wheel.turn failed: RuntimeError: it came off\n"
        "error: exec:1: wheel.turn failed: internal error (RuntimeError)\n"
    )
    debugged = llmspell("exec", "--debug", "local x = Wheel.turn()")
    assert debugged.code == 1
    assert 'raise RuntimeError("it came off")' in debugged.err


def test_a_defect_is_owned_up_to():
    assert exit_code(RuntimeError("odd")) == 1
    assert describe(RuntimeError("odd")) == (
        "error: RuntimeError: odd\nhint: this is a bug in llmspell; --debug shows where"
    )


@pytest.mark.parametrize(
    ("lua", "limit"),
    [
        ("while true do end", "instruction limit exceeded"),
        ("local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end", "memory limit"),
        ("while true do Log.debug('x') end", "too many effects"),
    ],
)
def test_limits_end_a_run_with_4(llmspell, write, lua, limit):
    write("llmspell.toml", "[limits]\ninstructions = 30000000\nmemory = 8000000\neffects = 1000")
    done = llmspell("exec", lua)
    assert (done.code, done.out) == (4, "")
    assert limit in done.err
    assert "\nhint: raise it with --limit " in done.err


@pytest.mark.parametrize(
    ("mood", "said", "hint"),
    [
        ("401", "no, not now (HTTP 401)", "api_key_env"),
        ("404", "no, not now (HTTP 404)", "check the model's name"),
        ("429", "no, not now (HTTP 429)", "try again later"),
        ("500", "no, not now (HTTP 500)", "try again later"),
        ("garbage", "the answer is not JSON", None),
        ("empty", "the answer has no choices", None),
        ("drop", "the connection was lost before an answer came", "is the server running"),
        ("half", "the connection was lost in the middle of the answer", "try again"),
    ],
)
def test_a_model_that_does_not_answer_well(llmspell, write, model, mood, said, hint):
    write("ask.lua", "local agent = Agent.create{}\nprint((agent:prompt('hello')))\n")
    done = llmspell("ask.lua", model(mood))
    assert (done.code, done.out) == (1, "")
    lines = done.err.splitlines()
    if mood in ("garbage", "empty", "half"):  # what was answered has to be paid, whatever it was
        assert lines.pop(0).startswith("1 call (1 unreported), ")
    assert lines[0].startswith(f"error: ask.lua:2: test: {said}")
    assert lines[1] == "  | print((agent:prompt('hello')))"
    assert hint is None or (lines[2].startswith("hint: ") and hint in lines[2])


@pytest.mark.parametrize(
    ("name", "said", "hint"),
    [
        ("nope", "'nope' does not name a provider and a model", "write it as provider/model"),
        ("opnai/x", "no provider named 'opnai'", "did you mean 'openai'"),
        ("openai/x", "openai: no API key", "set the environment variable OPENAI_API_KEY"),
        ("ollama/x", "ollama: cannot connect to http://127.0.0.1:1", "start it with"),
    ],
)
def test_a_model_that_is_not_there(llmspell, name, said, hint):
    source = "print('begun') local x = Agent.create{}:prompt('hello')"
    done = llmspell("exec", "--model", name, source)
    known = name.startswith(("openai/", "ollama/"))
    assert (done.code, done.out) == ((1, "begun\n") if known else (2, ""))
    assert said in done.err
    assert f"\nhint: {hint}" in done.err


def test_a_model_that_answers(llmspell, model):
    done = llmspell("exec", "-q", model("ok"), "return (Agent.create{}:prompt('hello'))")
    assert done == (0, "Hello to you.\n", "")


def test_a_state_file_that_is_none(llmspell, write):
    write(".llmspell/state.db", "This is not a database, and never was one.\n" * 50)
    done = llmspell("run", "counter")
    assert (done.code, done.out) == (1, "")
    assert "state.db cannot be used: the file is not an SQLite database\n" in done.err
    assert "\nhint: move it away" in done.err


def test_a_state_folder_that_cannot_be_made(llmspell, write):
    write(".llmspell", "in the way")
    done = llmspell("run", "counter")
    assert (done.code, done.out) == (1, "")
    assert "state.db cannot be created" in done.err
    assert "\nhint: check the folder's permissions" in done.err


def test_a_disk_without_room_for_the_state(shell):
    # Bytecode that could be written in part only would be left to the tests that follow.
    done = shell("export PYTHONDONTWRITEBYTECODE=1; ulimit -f 8; llmspell run --no-record counter")
    assert (done.code, done.out) == (1, "")
    assert "no room" in done.err
    assert "\nhint: check the disk's space" in done.err


def test_a_tool_that_cancels_the_run(llmspell, write):
    write(
        "tools.py",
        """
import asyncio
from llmspell import tool

@tool
async def cancel() -> None:
    asyncio.current_task().cancel()
    await asyncio.sleep(1)
""",
    )
    for record in ("--record", "--no-record"):
        done = llmspell("exec", "--tools=tools.py", "-A", record, "cancel()")
        assert (done.code, done.out) == (1, "")
        assert done.err.startswith("error: the run was cancelled from within\nhint: was it a tool")


STRANGE = r"""--- /// spell
--- description = "tea\u001b[2J"
--- [params]
--- cup = { type = "string", help = "a\u001b[2J", choices = ["\u001b[2J"], default = "\u001b[2J" }
--- ///
"""


@pytest.mark.parametrize(
    "words",
    ["run strange --help", "run strange --cup=x", "run wrong", "run ]", "spells", "agents"],
)
def test_nothing_that_a_stranger_wrote_reaches_the_terminal(llmspell, write, words):
    """Whoever looks at a spell or an agent, and does not run it, sees its control characters."""
    write("spells/strange.lua", STRANGE)
    write("spells/wrong.lua", 'error("\x1b[2J")')
    write("spells/\x1b[2J.lua", "")
    write("agents/\x1b[2J.toml", 'system = "a"\ndescription = "\\u001b[2J"')
    done = llmspell(*words.replace("]", "\x1b[2K").split())
    assert "\x1b" not in done.out + done.err
    assert r"\x1b[2" in done.out + done.err
