"""Looking at recorded runs, and taking them elsewhere, by the command line."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from llmspell.journal.locks import RunLock

SPELL = """
State.set("cups", 2)
pcall(read_file, {path = "/etc/passwd"})
return State.get("cups")
"""


@pytest.fixture
def run(llmspell, write):
    """Records a run of a spell."""
    write("tea.lua", SPELL)

    def running():
        assert llmspell("run", "tea.lua").code == 0

    return running


def test_a_run_is_shown_as_a_tree(run, llmspell):
    run()
    shown = llmspell("show")
    assert shown.code == 0
    lines = shown.out.splitlines()
    assert lines[0].startswith("tea  run 20")
    assert lines[1].startswith("status completed  effects 3  time ")
    assert [line.split("  ")[0] for line in lines[2:]] == ["0", "├── 0/0", "├── 0/1", "└── 0/2"]
    assert "permission_denied: read_file may not read /etc/passwd" in lines[4]


def test_an_effect_is_shown_whole(run, llmspell):
    run()
    shown = llmspell("show", "last", "--effect", "0/1")
    assert shown.out.startswith("tool.call at 0/1, error, ")
    assert '"path": "/etc/passwd"' in shown.out
    assert "--allow-read=/etc/passwd" in shown.out
    wrong = llmspell("show", "--effect", "0/7")
    assert wrong.code == 2
    assert "the run has no recorded effect at 0/7" in wrong.err


def test_what_is_made_of_others_is_shown_by_its_parts(llmspell, write):
    write(
        "t.lua", "Hook.before('tool.call', print) Task.map({1}, function() State.set('n', 7) end)"
    )
    assert llmspell("run", "t.lua").code == 0
    task = llmspell("show", "--effect", "0.0")
    assert task.code == 2
    assert "the task at 0.0 is recorded without arguments and result" in task.err
    assert task.err.endswith("--effect 0.0/0\n")
    hook = llmspell("show", "--effect", "0/0")
    assert "the hook.register at 0/0 is recorded without arguments" in hook.err
    assert "outside the spell" in hook.err


def test_an_effect_that_has_not_ended_is_shown_with_its_arguments(llmspell, write):
    write("t.lua", "Task.sleep('1d')")
    assert llmspell("run", "--park", "t.lua").code == 6
    shown = llmspell("show", "--effect", "0/0")
    assert shown.code == 0
    assert shown.out.startswith("task.sleep at 0/0, unfinished\n\narguments\n")
    assert "86400" in shown.out


def test_all_of_a_run_as_json(run, llmspell):
    run()
    record = json.loads(llmspell("show", "--json").out)
    assert record["status"] == "completed"
    assert record["result"] == 2
    assert [span["name"] for span in record["spans"]] == [
        "main",
        "state.set",
        "tool.call",
        "state.get",
    ]


def test_a_page_is_written(run, llmspell, project):
    run()
    shown = llmspell("show", "--html", "pages/run.html")
    assert (shown.code, shown.out) == (0, "")
    assert shown.err == "written to pages/run.html\n"
    assert "<!doctype html>" in (project / "pages" / "run.html").read_text()


HOSTILE = """
State.set("\\27[2Jkey", "\\27]0;title\\7")
pcall(State.get, "\\u{9b}31m")
local clown = Agent.create{name = "\\27[2Jclown", model = "none/none"}
pcall(clown.prompt, clown, "\\27[2Jhello")
error{code = "odd", message = "\\27[2Jgone\\nand\\tmore"}
"""


@pytest.mark.parametrize(
    "command",
    [
        ["runs"],
        ["show"],
        ["show", "last", "--effect", "0/0"],
        ["show", "last", "--conversation", "\x1b[2Jclown"],
        ["diff", "last", "last"],
    ],
)
def test_what_was_recorded_does_nothing_to_a_terminal(llmspell, write, command):
    write("\x1b[2J.lua", HOSTILE)
    assert llmspell("run", "\x1b[2J.lua").code == 1
    shown = llmspell(*command)
    assert shown.code == 0
    assert not set(shown.out) & {"\x1b", "\x07", "\x9b"}
    if command == ["show"]:
        assert "state.set \\x1b[2Jkey" in shown.out
        assert "\\x1b[2Jgone\nand" in shown.out


def test_a_folder_whose_name_is_not_utf_8_keeps_runs_too(llmspell, project):
    folder = project / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    assert llmspell("exec", "return State.increment('n')", cwd=folder).out == "1\n"
    assert llmspell("replay", "last", cwd=folder).out == "1\n"
    shown = llmspell("show", "last", "--effect", "0/0", cwd=folder)
    assert shown.out.startswith("state.increment at 0/0, ok, ")
    fork = llmspell("fork", "last", "--at", "0/0", cwd=folder)
    assert (fork.code, fork.out) == (0, "2\n")


def test_a_run_that_is_not_there(run, llmspell):
    assert "there is no journal" in llmspell("show").err
    run()
    wrong = llmspell("show", "2020")
    assert wrong.code == 2
    assert wrong.err.startswith("error: no run 2020 in ")
    assert "hint: list them with: llmspell runs" in wrong.err
    odd = llmspell("show", os.fsdecode(b"\xe9"))
    assert (odd.code, odd.err.partition(" in ")[0]) == (2, "error: no run \\udce9")
    assert llmspell("runs", "--spell", os.fsdecode(b"\xe9")).code == 0


def test_two_runs_are_compared(run, llmspell):
    run()
    first = json.loads(llmspell("show", "--json").out)["run"]
    run()
    shown = llmspell("diff", first, "last")
    assert shown.code == 0
    assert "3 effects the same, 0 different" in shown.out
    assert json.loads(llmspell("diff", first, "last", "--json").out) == {
        "same": 3,
        "differences": [],
    }


def test_a_difference_is_shown_from_both_sides(llmspell, write):
    write("a.lua", 'State.set("x", 1)')
    write("b.lua", 'State.set("x", 2) State.get("x")')
    ids = []
    for name in ("a.lua", "b.lua"):
        llmspell("run", name)
        ids.append(json.loads(llmspell("show", "--json").out)["run"])
    lines = llmspell("diff", *ids).out.splitlines()
    assert lines[2:] == [
        "0 effects the same, 2 different",
        "",
        "0/0  state.set  other arguments",
        '- {"key": "x", "value": 1}',
        '+ {"key": "x", "value": 2}',
        "",
        "0/1  state.get  in one run only",
        '+ state.get {"key": "x"}',
    ]


def test_what_continues_from_its_record_cannot_be_left_unrecorded(llmspell, write):
    write("t.lua", "State.set('n', 1) Task.sleep('1d')")
    assert llmspell("run", "--park", "t.lua").code == 6
    for words in (
        ["resume", "last"],
        ["fork", "last", "--at", "0/0"],
        ["run", "--resume-last", "t.lua"],
    ):
        wrong = llmspell(*words, "--park", "--no-record")
        assert wrong.code == 2, words
        assert "leave out --no-record" in wrong.err
    assert len(json.loads(llmspell("runs", "--json").out)) == 1


def test_a_run_is_taken_to_another_project(run, llmspell, project):
    run()
    exported = llmspell("export", "last", "tea.run")
    assert exported.err == "written to tea.run\n"
    assert "already exists" in llmspell("export", "last", "tea.run").err
    other = project / "other"
    (other / ".llmspell").mkdir(parents=True)
    imported = llmspell("import", "../tea.run", cwd=other)
    assert imported.code == 0
    assert llmspell("show", imported.out.strip(), cwd=other).out == llmspell("show").out
    again = llmspell("import", "../tea.run", cwd=other)
    assert again.code == 5
    assert "already" in again.err
    wrong = llmspell("import", "../tea.lua", cwd=other)
    assert "not an SQLite database" in wrong.err
    assert "a file that llmspell export has written" in wrong.err
    assert llmspell("import", "nothing.run", cwd=other).code == 2


class Collector(BaseHTTPRequestHandler):
    """What takes in traces, as an OpenTelemetry collector does."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.taken.append((self.path, self.headers.get("content-encoding"), body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_a_trace_arrives_at_a_collector(run, llmspell):
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    run()
    server = HTTPServer(("127.0.0.1", 0), Collector)
    server.taken = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        sent = llmspell("export", "--otel", OTEL_EXPORTER_OTLP_ENDPOINT=address)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert (sent.code, sent.err) == (0, "4 spans sent\n")
    ((path, _, body),) = server.taken
    assert path == "/v1/traces"
    request = ExportTraceServiceRequest.FromString(body)
    spans = request.resource_spans[0].scope_spans[0].spans
    assert {span.name for span in spans} == {
        "invoke_workflow tea",
        "state.set cups",
        "execute_tool read_file",
        "state.get cups",
    }


def test_no_collector_is_there(run, llmspell):
    run()
    address = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    }
    sent = llmspell("export", "--otel", **address)
    assert sent.code == 5
    assert "error: the trace was not accepted" in sent.err


def test_a_run_is_forked(llmspell, write):
    write(
        "sum.lua",
        "local n = add{a = 1}\nprint(n)\nreturn add{a = n, b = params.b}",
        "[params]\nb = 1",
    )
    write(
        "more.py",
        "from llmspell import tool\n\n\n@tool\ndef add(a: int, b: int = 1) -> int:\n    return a + b\n",
    )
    assert llmspell("run", "--tools", "more.py", "sum.lua").out == "2\n3\n"
    forked = llmspell("fork", "last", "--at", "0/1", "--set", "b=40", "--tools", "more.py")
    assert (forked.code, forked.out) == (0, "2\n42\n")
    assert llmspell("fork", "last", "--at", "0/1", "--set", "b").code == 2
    wrong = llmspell("fork", "last", "--at", "0/1", "--set", "c=1", "--tools", "more.py")
    assert wrong.code == 2
    assert "no parameter named 'c'" in wrong.err


def test_a_damaged_run_is_told_and_the_others_are_listed(llmspell, project):
    for _ in range(2):
        llmspell("exec", "return 1")
    with closing(sqlite3.connect(project / ".llmspell" / "runs.db")) as db, db:
        db.execute("UPDATE runs SET setup = '{}' WHERE number = 1")
        ((damaged,),) = db.execute("SELECT id FROM runs WHERE number = 1")
        ((sound,),) = db.execute("SELECT id FROM runs WHERE number = 2")
    for command, out in (
        (("runs",), f"{sound}  "),
        (("pending",), "nothing is pending\n"),
        (("resume", "--due"), ""),
        (("show", damaged), ""),
        (("show", damaged, "--html", "page.html"), ""),
        (("replay", damaged), ""),
        (("resume", damaged), ""),
        (("diff", damaged, sound), ""),
        (("fork", damaged, "--at", "0/0"), ""),
        (("export", damaged, "it.run"), ""),
    ):
        done = llmspell(*command)
        assert done.code == 5, command
        assert done.out.startswith(out)
        assert f"damaged: runs.setup cannot be read, in the run {damaged}" in done.err
    assert not (project / "page.html").exists()
    assert not (project / "it.run").exists()


def test_no_python_of_the_current_folder_is_imported(llmspell, project, environ):
    """What a run may write is not what the process is made of that goes on with it."""
    assert llmspell("exec", "--park", "Task.sleep('2h')").code == 6
    (project / "click.py").write_text("print('taken over')")
    with closing(sqlite3.connect(project / ".llmspell" / "runs.db")) as db, db:
        db.execute("UPDATE runs SET due = 1")
        db.execute("UPDATE begun SET due = 1")
    command = [sys.executable, "-P", "-m", "llmspell", "resume", "--due"]
    done = subprocess.run(command, cwd=project, env=environ, capture_output=True, check=False)
    assert b"resuming" in done.stderr
    assert done.stdout == b""
    with closing(sqlite3.connect(project / ".llmspell" / "runs.db")) as db:
        assert list(db.execute("SELECT status FROM runs")) == [("completed",)]


def test_a_due_run_that_another_process_goes_on_with_is_left_to_it(llmspell, project):
    assert llmspell("exec", "--park", "Task.sleep('2h')").code == 6
    file = project / ".llmspell" / "runs.db"
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("UPDATE runs SET due = 1")
        ((run,),) = db.execute("SELECT id FROM runs")
    lock = RunLock(file, run)
    assert llmspell("resume", "--due") == (0, "", "")
    lock.release()
    assert f"resuming {run}" in llmspell("resume", "--due", "--park").err


def parked(llmspell, project, *spells):
    """Runs that slept, and whose time has come; their ids."""
    for n, then in enumerate(spells):
        assert llmspell("exec", "--park", f"Task.sleep('2h') {then} -- {n}").code == 6
    with closing(sqlite3.connect(project / ".llmspell" / "runs.db")) as db, db:
        db.execute("UPDATE runs SET due = number")
        db.execute("UPDATE begun SET due = 1")
        return [run for (run,) in db.execute("SELECT id FROM runs ORDER BY number")]


def due_in_a_process(project, environ, *words):
    command = [sys.executable, "-P", "-m", "llmspell", "resume", "--due", *words]
    return subprocess.Popen(
        command, cwd=project, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_a_due_run_that_fails_stops_no_other_and_is_told(llmspell, project, environ):
    bad, good = parked(llmspell, project, "error('no tea')", "print('tea')")
    with due_in_a_process(project, environ) as process:
        out, err = process.communicate()
    assert (process.returncode, out) == (1, b"tea\n")
    assert f"resuming {bad}\nerror: exec:1: no tea" in err.decode()
    assert f"resuming {good}\n" in err.decode()


def test_two_who_go_on_with_what_is_due_do_nothing_twice(llmspell, project, environ):
    """Nor does one of them go on with what failed meanwhile in the other."""
    spells = [f"print({n}) error('no tea')" for n in range(3)]
    parked(llmspell, project, *spells)
    with due_in_a_process(project, environ) as one, due_in_a_process(project, environ) as other:
        outs = [process.communicate() for process in (one, other)]
    assert sorted("".join(out.decode() for out, _ in outs).split()) == ["0", "1", "2"]
    errors = "".join(err.decode() for _, err in outs)
    assert errors.count("error: exec:1: no tea") == errors.count("error:") == 3


def test_one_run_only_if_it_is_due(llmspell, project):
    run, asleep = parked(llmspell, project, "print('tea')", "print('cake')")
    with closing(sqlite3.connect(project / ".llmspell" / "runs.db")) as db, db:
        db.execute("UPDATE runs SET due = 1e10 WHERE id = ?", (asleep,))
    assert llmspell("resume", "--due", asleep) == (0, "", "")
    assert llmspell("resume", "--due", run) == (0, "tea\n", "")
    assert llmspell("resume", "--due", run) == (0, "", "")


def test_one_is_one(llmspell, project):
    llmspell("exec", "State.get('n')")
    assert llmspell("diff", "last", "last").out.splitlines()[2] == "1 effect the same, 0 different"
    assert llmspell("runs", "prune", "--keep", "0").out == "deleted 1 run\n"
