import pytest

from llmspell.config import (
    PermissionSettings,
    Project,
    Settings,
    check_settings,
    find_project,
    read_settings,
)
from llmspell.errors import ConfigError
from llmspell.limits import Limits
from llmspell.permissions import KINDS, Need


def refused(table):
    with pytest.raises(ConfigError) as caught:
        check_settings(table, "llmspell.toml")
    return caught.value


def test_nothing_set_is_the_defaults():
    settings = check_settings({}, "x")
    assert settings == Settings()
    assert settings.permissions == PermissionSettings()
    assert settings.limits == Limits()
    assert settings.state.backend == "sqlite"


def test_everything_set():
    settings = check_settings(
        {
            "model": "openai/gpt-5-mini",
            "state": {"backend": "memory", "synchronous": "FULL"},
            "tools": {"modules": ["weather"]},
            "providers": {"mine": {"kind": "openai", "base_url": "http://localhost:1/v1"}},
            "permissions": {"read": ["a", "b"], "net": ["example.com"]},
            "limits": {"memory": "1 KiB", "time": 0.5},
        },
        "x",
    )
    assert settings.model == "openai/gpt-5-mini"
    assert settings.permissions == PermissionSettings(read=("a", "b"), net=("example.com",))
    assert (settings.limits.memory, settings.limits.time) == (1024, 0.5)
    assert settings.providers["mine"].base_url == "http://localhost:1/v1"
    assert settings.tools.modules == ("weather",)


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"modell": "x"}, "modell is no setting"),
        ({"model": 5}, "model: "),
        ({"state": {"backend": "redis"}}, "state.backend: "),
        ({"state": {"folder": "x"}}, "state.folder is no setting"),
        ({"tools": {"modules": "weather"}}, "tools.modules: "),
        ({"tools": ["weather"]}, "tools: "),
        ({"permissions": {"read": "x"}}, "permissions.read: "),
        ({"permissions": {"exec": ["x"]}}, "permissions.exec is no setting"),
        ({"permissions": {"deny": {"reed": ["x"]}}}, "permissions.deny.reed is no setting"),
        ({"permissions": {"deny": ["x"]}}, "permissions.deny: "),
        ({"limits": {"memori": 5}}, "limits.memori is no setting"),
        ({"limits": {"memory": "much"}}, "limits.memory: "),
        ({"limits": {"memory": -1}}, "limits.memory: must be a size above 0"),
        ({"limits": {"effects": 0}}, "limits.effects: must be a whole number above 0"),
        ({"limits": {"time": float("nan")}}, "limits.time: must be a number of seconds above 0"),
        ({"providers": {"mine": {"urll": "x"}}}, "providers.mine.urll is no setting"),
    ],
    ids=str,
)
def test_a_wrong_key_is_named(table, key):
    error = refused(table)
    assert any(key in problem for problem in error.problems)
    assert error.message.startswith("llmspell.toml: ")
    assert error.exit_code == 2


def test_every_wrong_key_is_named():
    assert len(refused({"a": 1, "model": 2, "state": {"backend": 3}}).problems) == 3
    assert len(refused({"limits": {"memory": 0, "time": -1}}).problems) == 2


@pytest.mark.parametrize(
    ("given", "granted"),
    [([], None), (["*"], ()), (["a", "*"], ()), (["a"], ("a",))],
)
def test_an_empty_list_grants_nothing_and_a_star_everything(given, granted):
    for kind in KINDS:
        table = {kind: given, "deny": {kind: given}}
        settings = check_settings({"permissions": table}, "x").permissions
        every = tuple(given) if kind == "net" and len(given) > 1 else granted
        assert settings[kind] == settings.deny[kind] == every


# Files and projects


@pytest.fixture
def write(tmp_path):
    def write(text, name="llmspell.toml"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    return write


def test_paths_count_from_the_folder_of_the_file(write, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    file = write(
        '[permissions]\nread = ["docs", "/etc", "~/notes"]\nwrite = ["*"]\nnet = ["docs"]\n'
        'run = ["git", "bin/build"]\n[permissions.deny]\nwrite = [".git"]\n'
        '[tools]\nmodules = ["weather.py", "company.tools"]\n'
    )
    settings = read_settings(file)
    assert settings.permissions.read == (str(tmp_path / "docs"), "/etc", "/home/ada/notes")
    assert settings.permissions.allows(Need("write", "/anywhere"))
    assert settings.permissions.net == ("docs",)
    assert settings.permissions.run == ("git", str(tmp_path / "bin" / "build"))
    assert settings.permissions.deny.write == (str(tmp_path / ".git"),)
    assert settings.tools.modules == (str(tmp_path / "weather.py"), "company.tools")


def test_a_broken_file_is_named_with_its_line(write, tmp_path):
    with pytest.raises(ConfigError, match=r"llmspell\.toml: .*line 2"):
        read_settings(write("a = 1\nb ==\n"))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_settings(tmp_path / "gone.toml")
    file = write("")
    for text in (b"\xff", b"a = " + b"[" * 5000):
        file.write_bytes(text)
        with pytest.raises(ConfigError, match=r"llmspell\.toml"):
            read_settings(file)


def test_the_nearest_project_is_found(write, tmp_path):
    file = write('model = "a/b"', "outer/llmspell.toml")
    inner = tmp_path / "outer" / "inner" / "deep"
    inner.mkdir(parents=True)
    project = find_project(inner)
    assert (project.root, project.file, project.settings.model) == (file.parent, file, "a/b")
    (tmp_path / "outer" / "inner" / ".llmspell").mkdir()
    nearer = find_project(inner)
    assert (nearer.root, nearer.file) == (tmp_path / "outer" / "inner", None)
    assert nearer.settings == Settings()


def test_without_one_the_folder_is_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    project = find_project()
    assert project == Project(tmp_path)
    assert project.state_file == tmp_path / ".llmspell" / "state.db"
    assert project.spell_folders == [tmp_path / "spells"]


def test_a_projects_wrong_settings_are_told(write, tmp_path):
    write("nothing = 1")
    with pytest.raises(ConfigError, match="nothing is no setting"):
        find_project(tmp_path)
