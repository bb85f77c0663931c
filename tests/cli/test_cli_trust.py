"""Whose a spell is decides whether it may call what the user trusts: Python tools that declare
nothing.
"""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

CALL = "return add{a = 1}"
REFUSED = "hint: grant it with --allow-tool=add\n"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def site(tmp_path):
    """The address of a folder `site` that is not in the project."""
    folder = tmp_path / "site"
    folder.mkdir(exist_ok=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def stray(tmp_path):
    file = tmp_path / "site" / "stray.lua"
    file.parent.mkdir(exist_ok=True)
    file.write_text(CALL)
    return file


def test_own_spells(llmspell, write, tools, project):
    write("spells/mine.lua", CALL)
    (project / "deep" / "er").mkdir(parents=True)
    assert llmspell("run", tools, "spells/mine.lua") == (0, "2\n", "")
    assert llmspell("run", tools, "mine") == (0, "2\n", "")
    assert llmspell("run", tools, "-", stdin=CALL) == (0, "2\n", "")
    assert llmspell("exec", tools, CALL) == (0, "2\n", "")
    write("llmspell.toml", "")
    inside = project / "deep" / "er"
    assert llmspell("run", "--tools=../../tools.py", "../../spells/mine.lua", cwd=inside).code == 0


@pytest.mark.parametrize("spell", ["../site/stray.lua", "link.lua", "<(cat ../site/stray.lua)"])
def test_spells_from_elsewhere(shell, project, tools, stray, spell):
    (project / "link.lua").symlink_to(stray)
    done = shell(f"llmspell run {tools} {spell}")
    assert (done.code, done.out) == (3, "")
    assert done.err.endswith(REFUSED)
    assert shell(f"llmspell run {tools} --allow-tool=add {spell}") == (0, "2\n", "")


@pytest.mark.parametrize("words", ["--untrusted SPELL", "SPELL --untrusted"])
@pytest.mark.parametrize("spell", ["-", "mine.lua"])
def test_own_spells_that_are_not_trusted(llmspell, write, tools, words, spell):
    write("mine.lua", CALL)
    words = words.replace("SPELL", spell).split()
    done = llmspell("run", tools, *words, stdin=CALL)
    assert done.code == 3
    assert done.err.endswith(REFUSED)


def test_the_home_folder_vouches_for_nothing(llmspell, write, tools, project):
    write("mine.lua", CALL)
    assert llmspell("run", tools, "mine.lua", HOME=str(project)).code == 3
    write("sub/llmspell.toml", "")
    write("sub/mine.lua", CALL)
    done = llmspell(
        "run", "--tools=../tools.py", "mine.lua", cwd=project / "sub", HOME=str(project)
    )
    assert done == (0, "2\n", "")


def test_a_spell_by_address(llmspell, tools, stray, site):
    done = llmspell(tools, f"{site}/stray.lua?token=secret")
    assert done.code == 3
    assert done.err.startswith("error: stray.lua:1: ")
    assert done.err.endswith(REFUSED)
    assert "secret" not in done.err
    assert llmspell("--allow-tool=add", tools, f"{site}/stray.lua") == (0, "2\n", "")


def test_its_parameters_and_help(llmspell, stray, site):
    stray.write_text(
        '--- /// spell\n--- description = "Count."\n--- [params]\n--- n = 1\n--- ///\nreturn params.n'
    )
    assert llmspell("run", f"{site}/stray.lua", "--n", "5") == (0, "5\n", "")
    help_ = llmspell("run", f"{site}/stray.lua", "--help").out
    assert help_.startswith(f"Usage: llmspell run {site}/stray.lua ")
    assert "Count." in help_
    assert "--n INTEGER" in help_
    done = llmspell("run", f"{site}/stray.lua", "--n", "x")
    assert (done.code, done.err.splitlines()[1]) == (
        2,
        f"hint: see its parameters with: llmspell run {site}/stray.lua --help",
    )


def test_it_has_no_modules_of_its_own(llmspell, stray, site):
    (stray.parent / "days.lua").write_text("return 1")
    stray.write_text("return require 'days'")
    done = llmspell("run", f"{site}/stray.lua")
    assert done.code == 1
    assert "days" in done.err
    assert str(stray.parent) not in done.err


def test_its_run_is_not_resumed_as_that_of_another_spell(llmspell, write, stray, site):
    """Otherwise it would get what is granted to one of the user's own."""
    write("stray.lua", "Task.sleep('1d')")
    stray.write_text("Task.sleep('2d')")
    address = f"{site}/stray.lua"
    assert llmspell("run", "--park", address).code == 6
    done = llmspell("run", "--resume-last", "--allow-all", "stray.lua")
    assert (done.code, "the last run of stray was not recorded" in done.err) == (2, True)
    assert llmspell("run", "--park", "--resume-last", address).code == 6
    stray.write_text("Task.sleep('3d')")
    assert "was not recorded" in llmspell("run", "--resume-last", address).err
    assert llmspell("run", "--park", "stray.lua").code == 6
    assert llmspell("run", "--park", "--resume-last", "stray.lua").code == 6
    for words, said in (
        (["--untrusted", "stray.lua"], "does not go with --untrusted"),
        (["--record-permissions", "stray.lua"], "does not go with --record-permissions"),
        (["stray.lua", "--", "x"], "uses the arguments of that run"),
    ):
        done = llmspell("run", "--resume-last", *words)
        assert (done.code, said in done.err) == (2, True), words


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("local a = 1\nerror('boo')", "error: stray.lua:2: boo\n  | error('boo')\n"),
        ("x = = 1", "error: stray.lua:1: unexpected symbol near '='\n  | x = = 1\n"),
    ],
)
def test_its_errors_show_its_own_lines(llmspell, write, stray, site, source, shown):
    write("stray.lua", "return 1\nreturn 2\n")  # another spell of that name
    stray.write_text(source)
    assert llmspell("run", f"{site}/stray.lua") == (1, "", shown)
    assert llmspell("replay", "last") == (1, "", shown)
    assert llmspell("resume", "last") == (1, "", shown)


def test_errors_of_standard_input_show_its_lines(llmspell):
    done = llmspell("run", "-", stdin="\nerror('boo')")
    assert done == (1, "", "error: stdin:2: boo\n  | error('boo')\n")


def test_what_cannot_be_fetched(llmspell, site):
    done = llmspell(f"{site}/gone.lua")
    assert done == (
        2,
        "",
        f"error: cannot fetch {site}/gone.lua: it does not exist (HTTP 404)\nhint: check the address\n",
    )
    done = llmspell("http://example.com/x.lua")
    assert done.code == 2
    assert done.err.endswith("hint: try https://example.com/x.lua\n")


def test_to_look_at_a_strangers_project_loads_none_of_its_python(llmspell, project):
    (project / "llmspell.toml").write_text("[tools]\nmodules = ['theirs.py']\n")
    (project / "theirs.py").write_text("open('loaded', 'w').close()")
    (project / "theirs.lua").write_text("return 1")
    looks = ["check", "spells", "agents", "runs", "show", "run theirs.lua --help"]
    for command in looks:
        llmspell(*command.split())
    assert not (project / "loaded").exists()
    llmspell("tools")
    assert (project / "loaded").exists()
