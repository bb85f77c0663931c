"""`llmspell state`: what goes in comes out, and mistakes change nothing."""

import json
import sqlite3
from contextlib import contextmanager

import pytest

DOCUMENT = {"llmspell_state": 1, "scopes": {"": {"a": {"value": 1}}, "s": {"b": {"value": 2.0}}}}

ENDING = '{{"llmspell_state": 1, "scopes": {{"": {{"a": {{"value": 1, "expires": {}}}}}}}}}'


@pytest.fixture
def state(llmspell):
    """Run `llmspell state …`, which has to succeed; what it printed."""

    def run(*arguments, stdin=""):
        done = llmspell("state", *arguments, stdin=stdin)
        assert (done.code, done.err) == (0, "")
        return done.out

    return run


def test_text_is_text_and_json_is_json(state):
    state("set", "text", "007")
    state("set", "--json", "integer", "-5")
    state("set", "--json", "float", "2.0", "--scope", "s")
    state("set", "table", '{"a": [1, null]}', "--json")
    assert state("get", "text") == "007\n"
    assert state("get", "--json", "text") == '"007"\n'
    assert state("get", "integer") == "-5\n"
    assert state("get", "float", "--scope=s") == "2.0\n"
    assert json.loads(state("get", "table")) == {"a": [1, None]}
    assert state("get", "table", "--json") == '{"a":[1,null]}\n'


def test_a_spell_and_the_command_line_see_the_same(llmspell, state):
    state("set", "--json", "n", "41")
    assert llmspell("exec", "print(math.type(State.increment('n')))").out == "integer\n"
    assert state("get", "n") == "42\n"


def test_bytes_go_in_and_come_out_as_they_are(started):
    def run(*arguments, stdin=b""):
        with started("state", *arguments) as process:
            out, err = process.communicate(stdin)
        assert (process.returncode, err) == (0, b"")
        return out

    run("set", "raw", "-", stdin=b"\xff\x00\n")
    assert run("get", "raw") == b"\xff\x00\n"
    assert run("get", "--json", "raw") == b'{"$bytes":"/wAK"}\n'
    run("set", "text", "-", stdin="ø\n".encode())
    assert run("get", "--json", "text") == '"ø\\n"\n'.encode()
    run("set", "--json", "copy", "-", stdin=run("get", "--json", "raw"))
    assert run("get", "copy") == b"\xff\x00\n"


def test_keys_are_listed_by_scope(state):
    assert state("list") == ""
    state("set", "name", "Ada")
    state("set", "long", "x" * 100)
    state("set", "--scope", "cart", "tea", "2", "--ttl", "100", "--json")
    state("set", "--scope", "cart", "a\nb", "2")
    lines = state("list").splitlines()
    assert lines[0].startswith('long    "xxx')
    assert lines[0].endswith("…")
    assert lines[1:4] == ['name    "Ada"', "cart", '  "a\\nb"  "2"']
    assert lines[4] in ("  tea     2  for 100 s", "  tea     2  for 99 s", "  tea     2  for 98 s")
    assert state("list", "n*") == 'name  "Ada"\n'
    assert state("list", "--scope", "cart", "t*").startswith("cart\n  tea  2")
    rows = json.loads(state("list", "--json", "*a*"))
    assert rows == [
        {"scope": "", "key": "name", "value": "Ada"},
        {"scope": "cart", "key": "a\nb", "value": "2"},
        {"scope": "cart", "key": "tea", "value": 2, "expires": rows[2]["expires"]},
    ]


def test_a_time_of_any_size_is_imported(llmspell, state):
    llmspell("state", "import", "-", stdin=ENDING.format("1" + "0" * 30))
    assert json.loads(state("export"))["scopes"][""]["a"] == {"value": 1, "expires": 1e30}


def test_a_listed_value_does_nothing_to_a_terminal(state):
    state("set", "a", "\x1b[31m\x9b31m")
    assert state("list") == 'a  "\\u001b[31m\\x9b31m"\n'


def test_what_is_not_there(llmspell, state, project):
    for arguments in (("get", "name"), ("delete", "name"), ("get", "name", "--scope", "s")):
        done = llmspell("state", *arguments)
        assert done.code == 1
        assert done.err.startswith("error: no key 'name'")
        assert "hint: see: llmspell state list" in done.err
    assert not (project / ".llmspell").exists()
    state("set", "names", "x")
    assert "did you mean names?" in llmspell("state", "get", "name").err
    state("delete", "names")
    assert llmspell("state", "get", "names").code == 1


def test_state_moves_through_a_file(state, project):
    state("import", "-", stdin=json.dumps(DOCUMENT))
    state("export", "state.json")
    assert json.loads((project / "state.json").read_text()) == DOCUMENT
    assert json.loads(state("export", "--scope", "s"))["scopes"] == {"s": {"b": {"value": 2.0}}}
    state("set", "a", "changed")
    state("set", "more", "kept")
    assert state("import", "state.json", "--scope", "s") == "1 key imported\n"
    assert state("get", "a") == "changed\n"
    assert state("import", "state.json") == "2 keys imported\n"
    assert (state("get", "a"), state("get", "more")) == ("1\n", "kept\n")
    state("import", "--replace", "state.json")
    assert json.loads(state("export")) == DOCUMENT


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "said"),
    [
        (["set", "--json", "k", "{"], "", 2, "the value is not valid JSON"),
        (["set", "--json", "k", "null"], "", 1, "null is not a value"),
        (["set", "--json", "k", '{"$bytes": 1}'], "", 1, "does not represent a value"),
        (["set", "", "x"], "", 1, "is not a key"),
        (["set", "k", "x", "--ttl", "-1"], "", 2, "must be a number of seconds above 0"),
        (["set", "k"], "", 2, "missing argument"),
        (["import", "nowhere.json"], "", 1, "nowhere.json: No such file"),
        (["import", "-"], "[", 2, "hint: import what `llmspell state export` wrote"),
        (["import", "-"], "[" * 9999, 2, "is nested too deeply"),
        (["import", "-"], "{}", 1, "not an exported state"),
        (["import", "-"], json.dumps({**DOCUMENT, "llmspell_state": 9}), 1, "later version"),
        (["import", "-"], ENDING.format("1" + "0" * 400), 1, "a: expires must be a number"),
        (["gett"], "", 2, "no such command"),
    ],
)
def test_mistakes(llmspell, state, arguments, stdin, code, said):
    state("set", "before", "1")
    done = llmspell("state", *arguments, stdin=stdin)
    assert done.code == code
    assert said in done.err
    assert "hint: " in done.err or "No such file" in done.err or code == 1
    assert state("list") == 'before  "1"\n'


def test_state_that_a_plugin_keeps_cannot_be_looked_at(llmspell, write):
    write("llmspell.toml", '[state]\nbackend = "redis"\n')
    done = llmspell("state", "list")
    assert done.code == 2
    assert "keeps its state in redis, which a plugin provides" in done.err


def test_state_in_memory_cannot_be_looked_at(llmspell, write):
    write("llmspell.toml", '[state]\nbackend = "memory"\n')
    done = llmspell("state", "list")
    assert done.code == 2
    assert "in memory" in done.err
    assert 'backend = "sqlite"' in done.err


def test_a_file_of_a_later_version_is_left_alone(llmspell, state, project):
    state("set", "k", "x")
    file = project / ".llmspell" / "state.db"
    db = sqlite3.connect(file)
    db.execute("PRAGMA user_version = 9")
    db.close()
    before = file.read_bytes()
    for arguments in (("list",), ("set", "k", "y"), ("import", "--replace", "-")):
        done = llmspell("state", *arguments, stdin=json.dumps(DOCUMENT))
        assert done.code == 1
        assert "later version" in done.err
        assert "upgrade llmspell" in done.err
    assert file.read_bytes() == before


@contextmanager
def read_only(folder):
    """While nothing in a folder can be written."""
    places = [folder, *folder.rglob("*")]
    try:
        for place in places:
            place.chmod(0o555 if place.is_dir() else 0o444)
        yield
    finally:
        for place in places:
            place.chmod(0o755)


@pytest.mark.parametrize("killed", [False, True])
def test_what_cannot_be_written_can_be_read(state, started, unprivileged, project, killed):
    state("set", "a", "1")
    if killed:  # the last write is still only in the log beside the file
        with started("exec", "--no-record", "State.set('a', '2') Task.sleep(60)") as process:
            while state("get", "a") != "2\n":
                pass
            process.kill()
        assert (project / ".llmspell" / "state.db-wal").exists()
    value = "2" if killed else "1"
    with read_only(project):
        assert unprivileged("state get a") == (0, f"{value}\n", "")
        assert unprivileged("state list") == (0, f'a  "{value}"\n', "")
        spell = "return State.get('a') .. #State.keys()"
        assert unprivileged(f'exec --no-record "{spell}"') == (0, f"{value}1\n", "")
        done = unprivileged("state set a 3")
        assert (done.code, done.out) == (1, "")
        assert "state.db cannot be used: the file cannot be written" in done.err
        assert "hint: check the permissions of the file and its folder" in done.err
    assert state("get", "a") == f"{value}\n"


def test_where_nothing_can_be_written_there_is_no_state(unprivileged, project):
    (project / "llmspell.toml").touch()
    with read_only(project):
        done = unprivileged("exec --no-record \"print(State.get('a'), #State.keys())\"")
        assert done == (0, "nil\t0\n", "")
        done = unprivileged("exec --no-record \"State.set('a', 1)\"")
        assert done.code == 1
        assert "state.db cannot be created: Permission denied" in done.err


def test_the_state_of_an_older_version_is_read_as_it_is(state, unprivileged, project):
    state("set", "a", "1")
    with sqlite3.connect(project / ".llmspell" / "state.db") as db:
        db.execute("DROP TABLE done")
        db.execute("PRAGMA user_version = 1")
    db.close()
    with read_only(project):
        assert unprivileged("state get a") == (0, "1\n", "")
