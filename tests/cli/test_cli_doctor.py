"""`llmspell doctor`: what it finds in good and in bad surroundings, with real servers and files."""

import json
import os
import sqlite3
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from llmspell.isolation.confinement import available

KEY = "sk-proj-Zx81qLw7TtRb29vNhYc3KdM5pGa0XfE6sUj4oWi"


@pytest.fixture
def findings(llmspell):
    """What was found, by subject, and the exit code."""

    def look(*arguments, **environ):
        done = llmspell("doctor", "--json", *arguments, **environ)
        assert done.err == ""
        assert "Zx81" not in done.out
        return {one.pop("subject"): one for one in json.loads(done.out)}, done.code

    return look


@pytest.fixture
def settings(write):
    return lambda text: write("llmspell.toml", text)


class Lister(BaseHTTPRequestHandler):
    """Answers `GET /v1/models` as its server says."""

    def do_GET(self):
        assert self.path == "/v1/models"
        status, answer = self.server.answer
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def model_list():
    """Start a server with such an answer; its base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Lister)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def answering(status, answer):
        server.answer = status, answer
        return f"http://127.0.0.1:{server.server_port}/v1"

    yield answering
    server.shutdown()
    server.server_close()


@pytest.fixture
def models(model_list, settings):
    """Have a provider whose server answers a request for its models in some way."""

    def having(status, answer, **more):
        url = model_list(status, answer)
        lines = [f"{name} = {json.dumps(value)}" for name, value in more.items()]
        settings(
            "\n".join(['model = "test/gpt"', "[providers.test]", f'base_url = "{url}"', *lines])
        )
        return url

    return having


def test_where_all_is_well(llmspell, models, project):
    url = models(200, {"data": [{"id": "gpt"}, {"id": "other"}]})
    done = llmspell("doctor")
    assert (done.code, done.err) == (0, "")
    lines = [line.split(None, 2) for line in done.out.splitlines()]
    assert ["ok", "project", f"{project}, settings in llmspell.toml"] in lines
    assert ["ok", "state", f"{project}/.llmspell/state.db, created on first use"] in lines
    assert ["ok", "keys", "none is set"] in lines
    assert ["ok", "model", "The configured model is test/gpt."] in lines
    assert ["ok", "answers", url] in lines
    assert [line for line in lines if line[0] != "ok" and line[1] != "isolation"] == []
    subjects = {line[1] for line in lines}
    assert {"llmspell", "python", "lua", "isolation", "tools"} <= subjects
    assert "\x1b" not in done.out
    assert not (project / ".llmspell").exists()


def test_colours_are_for_terminals(terminal):
    seen = terminal("doctor", "--offline")
    assert seen.wait() == 0
    assert "\x1b[32mok" in seen.sent


def test_keys_are_named_and_not_shown(findings, models):
    models(200, {"data": []}, api_key_env="TEAM_KEY")
    found, code = findings(TEAM_KEY=KEY, GROQ_API_KEY=KEY)
    assert (found["keys"]["text"], code) == ("TEAM_KEY, GROQ_API_KEY", 0)


def test_a_key_without_the_address_it_is_for(llmspell, models):
    models(200, {"data": []})
    done = llmspell("doctor", AZURE_OPENAI_API_KEY=KEY)
    assert "base_url is required, or AZURE_OPENAI_ENDPOINT" in done.out
    assert "warning" in done.out
    assert "Zx81" not in done.out


def test_a_key_that_is_not_there(findings, models):
    models(200, {"data": []}, api_key_env="TEAM_KEY")
    found, code = findings()
    assert found["answers"] == {
        "standing": "problem",
        "text": "test: no API key",
        "hint": "set the environment variable TEAM_KEY",
    }
    assert code == 1


def test_a_key_no_header_can_hold(findings, llmspell, settings):
    settings('[providers.test]\nbase_url = "http://127.0.0.1:1"\napi_key_env = "TEAM_KEY"')
    _, code = findings("--offline", TEAM_KEY=f"{KEY}\x7f")
    assert code == 0
    shown = llmspell("doctor", "--offline", TEAM_KEY=f"{KEY}\x7f").out
    assert "warning  keys       [providers.test]: the key in TEAM_KEY has characters" in shown


def test_a_key_that_is_refused(findings, models):
    models(401, {"error": {"message": f"Incorrect key: {KEY}"}}, api_key_env="TEAM_KEY")
    found, code = findings(TEAM_KEY=KEY)
    assert found["answers"]["standing"] == "problem"
    assert found["answers"]["text"] == "test: Incorrect key: [redacted] (HTTP 401)"
    assert "TEAM_KEY" in found["answers"]["hint"]
    assert code == 1


def test_a_model_that_is_not_listed(findings, models):
    url = models(200, {"data": [{"id": "gpt-5"}, {"id": "llama"}]})
    found, code = findings()
    assert found["answers"] == {
        "standing": "warning",
        "text": f"{url} does not list gpt",
        "hint": "did you mean gpt-5?",
    }
    assert code == 0


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, [{"id": "gpt"}]),
        (200, {"data": [{"id": "gpt:latest"}]}),
        (200, {"data": "x"}),
        (404, {"detail": "no such page"}),
        (405, {}),
    ],
)
def test_servers_with_other_lists(findings, models, status, answer):
    models(status, answer)
    found, code = findings()
    assert (found["answers"]["standing"], code) == ("ok", 0)


def test_a_server_that_fails(findings, models):
    models(500, {"error": "no memory"})
    found, code = findings()
    assert (found["answers"]["text"], code) == ("test: no memory (HTTP 500)", 1)


def test_nobody_listens(findings, settings):
    settings('model = "test/gpt"\n[providers.test]\nbase_url = "http://127.0.0.1:1/v1"')
    found, code = findings()
    assert found["answers"]["text"] == "test: cannot connect to http://127.0.0.1:1/v1"
    assert code == 1
    found, code = findings("--offline")
    assert (found["answers"]["text"], code) == ("http://127.0.0.1:1/v1 was not contacted", 0)


def test_an_unknown_provider(findings, settings):
    settings('model = "opnai/gpt"')
    found, code = findings()
    assert found["model"]["text"] == "The configured model is opnai/gpt."
    assert found["answers"] == {
        "standing": "problem",
        "text": "no provider named 'opnai'",
        "hint": "did you mean 'openai'?",
    }
    assert code == 1


def test_a_hook_that_no_effect_reaches(findings, settings):
    plugin = "\n[[plugins]]\nname = 'dice'"
    settings(hook := "[[hooks]]\nname = 'logging'\neffects = ['dice.roll']")
    found, code = findings("--offline")
    assert found["settings"]["standing"] == "problem"
    assert found["settings"]["text"].endswith("hooks.logging.effects: no effect named 'dice.roll'")
    assert code == 1
    settings(hook + plugin)  # it may bring that effect
    assert "settings" not in findings("--offline")[0]


def test_a_model_without_a_provider(findings, settings):
    settings('model = "gpt"')
    found, code = findings()
    assert found["model"]["standing"] == "problem"
    assert "write it as provider/model" in found["model"]["hint"]
    assert code == 1


def test_without_keys_the_embedded_model_is_looked_at(findings, tmp_path):
    found, code = findings(LLMSPELL_CACHE=str(tmp_path / "cache"))
    assert found["model"]["text"].endswith("so the model is the embedded one.")
    assert found["answers"]["text"] in (
        f"93 MB will be downloaded to {tmp_path / 'cache'} on first use",
        "local/smollm2 needs the extra local",
    )
    assert code == 0


def test_a_file_that_is_no_model(findings, settings, tmp_path):
    settings(f'model = "local/{tmp_path}/none.gguf"')
    found, code = findings()
    assert found["answers"]["standing"] == "problem"
    assert code == 1


def test_settings_that_are_wrong(findings, settings, project):
    settings(f'modle = "x"\n[providers.openai]\napi_key = "{KEY}"')
    found, code = findings()
    assert found["project"]["standing"] == "problem"
    for problem in ("modle is not a setting", "providers.openai.api_key is not a setting"):
        assert problem in found["project"]["text"]
    assert "did you mean model" in found["project"]["hint"]
    assert "model" not in found
    assert code == 1


def test_tools_that_cannot_be_loaded(findings, settings, write):
    write("broken.py", "import nothing_of_that_name")
    settings('tools.modules = ["broken.py"]')
    found, code = findings()
    assert found["project"]["standing"] == "problem"
    assert "cannot load tools" in found["project"]["text"]
    assert code == 1


def test_the_state_of_a_project(findings, llmspell, project, settings):
    assert llmspell("exec", 'State.set("a", 1)').code == 0
    file = project / ".llmspell" / "state.db"
    found, code = findings()
    assert found["state"] == {"standing": "ok", "text": str(file), "hint": None}
    settings('state.backend = "memory"')
    assert findings()[0]["state"]["text"] == "kept in memory, during one run"
    settings("")
    file.write_text("no database at all, but a text that is long enough" * 9)
    found, code = findings()
    assert found["state"]["standing"] == "problem"
    assert "the file is not an SQLite database" in found["state"]["text"]
    assert "--state memory" in found["state"]["hint"]
    assert code == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_project_that_is_read_only(findings, project):
    project.chmod(0o555)
    found, code = findings()
    project.chmod(0o755)
    assert (found["state"]["standing"], code) == ("warning", 0)
    assert "read-only" in found["state"]["text"]


def test_a_database_of_another_program(findings, project):
    (project / ".llmspell").mkdir()
    with sqlite3.connect(project / ".llmspell" / "state.db") as db:
        db.execute("PRAGMA application_id = 7")
        db.execute("CREATE TABLE t (a)")
    db.close()
    found, _ = findings()
    assert found["state"]["standing"] == "problem"


def test_what_the_kernel_offers_is_told(llmspell):
    shown = llmspell("doctor", "--offline").out
    for measure in available():
        if measure.available:
            assert f"ok       isolation  {measure.name}: {measure.note}" in shown
        else:
            assert f"  isolation  {measure.name}: {measure.note}" in shown
