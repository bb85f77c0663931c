import os
import sys
from pathlib import Path

import pytest

from llmspell.config import PermissionSettings, Project, Settings, find_project
from llmspell.config.project import read_settings
from llmspell.config.validation import check_settings
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
            "hooks": [{"name": "retry", "priority": 5, "settings": {"attempts": 2}}],
            "middleware": [{"name": "metrics", "effects": ["tool.*"], "after": "hooks"}],
            "plugins": [{"name": "glossary", "timeout": "2s", "settings": {"terms": {"a": "b"}}}],
        },
        "x",
    )
    assert settings.model == "openai/gpt-5-mini"
    assert settings.permissions == PermissionSettings(read=("a", "b"), net=("example.com",))
    assert (settings.limits.memory, settings.limits.time) == (1024, 0.5)
    assert settings.providers["mine"].base_url == "http://localhost:1/v1"
    assert settings.tools.modules == ("weather",)
    [hook] = settings.hooks
    assert (hook.name, hook.priority, hook.settings) == ("retry", 5, {"attempts": 2})
    assert settings.middleware[0].effects == ("tool.*",)
    [plugin] = settings.plugins
    assert (plugin.enabled, plugin.priority, plugin.required, plugin.timeout) == (True, 0, False, 2)
    assert plugin.settings == {"terms": {"a": "b"}}
    assert "terms" not in repr(settings)


def test_seconds_are_also_written_as_spans_of_time():
    names = ("timeout", "connect_timeout", "first_timeout", "total_timeout")
    settings = check_settings(
        {
            "budget": {"seconds": "1h"},
            "limits": {"time": "1m"},
            "plugins": [{"name": "glossary", "timeout": "2m"}],
            "providers": {"openai": dict.fromkeys(names, "1m30s")},
        },
        "x",
    )
    assert (settings.budget.seconds, settings.limits.time) == (3600, 60)
    assert settings.plugins[0].timeout == 120
    assert [getattr(settings.providers["openai"], name) for name in names] == [90] * 4


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"modell": "x"}, "modell is not a setting"),
        ({"model": 5}, "model: "),
        ({"state": {"backend": 5}}, "state.backend: "),
        ({"state": "memory"}, "state: input should be a table"),
        ({"state": {"folder": "x"}}, "state.folder is not a setting"),
        ({"tools": {"modules": "weather"}}, "tools.modules: "),
        ({"tools": ["weather"]}, "tools: "),
        ({"permissions": {"read": "x"}}, "permissions.read: "),
        ({"journal": {"retention": "x"}}, "journal: retention: 'x' is not a duration"),
        ({"journal": {"redact": ["("]}}, "journal: redact: '(' is not a regular expression"),
        ({"permissions": {"net": "*"}}, "permissions.net: input should be a valid list"),
        ({"permissions": {"exec": ["x"]}}, "permissions.exec is not a setting"),
        ({"permissions": {"deny": {"reed": ["x"]}}}, "permissions.deny.reed is not a setting"),
        ({"permissions": {"deny": ["x"]}}, "permissions.deny: "),
        ({"limits": {"memori": 5}}, "limits.memori is not a setting"),
        ({"limits": {"memory": "much"}}, "limits.memory: "),
        ({"limits": {"memory": -1}}, "limits.memory: must be a size above 0"),
        ({"limits": {"effects": 0}}, "limits.effects: must be a whole number above 0"),
        ({"limits": {"time": float("nan")}}, "limits.time: must be a number of seconds above 0"),
        ({"providers": {"mine": {"urll": "x"}}}, "providers.mine.urll is not a setting"),
        ({"plugins": {"name": "x"}}, "plugins: "),
        (
            {"plugins": [{"name": "x"}, {"name": "y", "enbled": 1}]},
            "plugins.y.enbled is not a setting",
        ),
        ({"plugins": [{"name": "x", "priority": "high"}]}, "plugins.x.priority: "),
        ({"plugins": [{"name": "x", "settings": 5}]}, "plugins.x.settings: "),
        ({"plugins": [{}]}, "plugins.0: say which by name or module"),
        ({"hooks": [{"effects": ["a"]}]}, "hooks.0: say which by name or module"),
        ({"hooks": [{"name": "retry", "attempts": 3}]}, "hooks.retry.attempts is not a setting"),
        ({"middleware": [{"effects": ["a"]}]}, "middleware.0: say which by name or module"),
        ({"middleware": [{"name": "m", "effects": "a"}]}, "middleware.m.effects: "),
        (
            {"middleware": [{"name": "m", "before": "a", "after": "b"}]},
            "middleware.m: it has both",
        ),
    ],
    ids=str,
)
def test_a_wrong_key_is_named(table, key):
    error = refused(table)
    assert any(key in problem for problem in error.problems)
    assert error.message.startswith("llmspell.toml: ")
    assert error.exit_code == 2


def test_a_key_of_a_list_that_is_nearly_right_is_suggested():
    error = refused({"plugins": [{"name": "glossary", "enbled": True}]})
    assert error.hint == "did you mean plugins.enabled?"


PROVIDER_KEYS = (
    *("headers", "query", "timeout", "connect_timeout", "first_timeout", "total_timeout"),
    *("max_retries", "concurrency", "requests_per_minute", "extra_body"),
    *("base_url", "api_key_env", "share", "kind", "quirks"),
)


@pytest.mark.parametrize(
    ("table", "hint"),
    [
        ({"state": {"bakend": "x"}}, "did you mean state.backend?"),
        ({"backend": "sqlite"}, "did you mean state.backend?"),
        ({"state": {"x": 1}}, "settings of state are backend, synchronous"),
        ({"providers": {"a.b": {"timeot": 1}}}, "did you mean providers.a.b.timeout?"),
        (
            {"providers": {"providers": {"urll": "x"}}},
            f"settings of providers.providers are {', '.join(PROVIDER_KEYS)}",
        ),
        ({"permissions": {"deny": {"reed": []}}}, "did you mean permissions.deny.read?"),
        (
            {"permissions": {"deny": {"x": []}}},
            "settings of permissions.deny are read, write, net, run, env, tool, llm",
        ),
        (
            {"prices": {"a/b": {"input": 1, "x": 2}}},
            "settings of prices.a/b are input, output, cached, cache_written",
        ),
        (
            {"hooks": [{"name": "retry", "attempts": 3}]},
            "settings of hooks are name, module, effects, priority, required, settings",
        ),
        ({"middleware": [{"name": "metrics", "bfore": "x"}]}, "did you mean middleware.before?"),
    ],
    ids=str,
)
def test_what_is_like_a_wrong_key_is_suggested_or_what_its_table_has(table, hint):
    assert refused(table).hint == hint


def test_every_wrong_key_is_named():
    assert len(refused({"a": 1, "model": 2, "state": {"backend": 3}}).problems) == 3
    assert len(refused({"limits": {"memory": 0, "time": -1}}).problems) == 2


@pytest.mark.parametrize(
    ("given", "granted"),
    [([], None), (["*"], ()), (["a*", "*"], ()), (["a*"], ("a*",))],
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
        '[[plugins]]\nmodule = "shop.py:Shop"\n[[plugins]]\nmodule = "company.shop:Shop"\n'
        '[[middleware]]\nmodule = "lib/slow.py:slow"\n[[middleware]]\nname = "logging"\n'
        '[[hooks]]\nmodule = "mine.py:Mine"\n'
    )
    settings = read_settings(file)
    assert settings.permissions.read == (str(tmp_path / "docs"), "/etc", "/home/ada/notes")
    assert settings.permissions.allows(Need("write", "/anywhere"))
    assert settings.permissions.net == ("docs",)
    assert settings.permissions.run == ("git", str(tmp_path / "bin" / "build"))
    assert settings.permissions.deny.write == (str(tmp_path / ".git"),)
    assert settings.tools.modules == (str(tmp_path / "weather.py"), "company.tools")
    placed = [plugin.module for plugin in settings.plugins]
    assert placed == [f"{tmp_path}/shop.py:Shop", "company.shop:Shop"]
    placed = [middleware.module for middleware in settings.middleware]
    assert placed == [f"{tmp_path}/lib/slow.py:slow", None]
    assert [hook.module for hook in settings.hooks] == [f"{tmp_path}/mine.py:Mine"]


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


SOMEBODY, ME = 65_001, 65_002


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("name", ["llmspell.toml", "llmspell.json", ".llmspell"])
def test_what_another_user_put_there_is_refused(tmp_path, monkeypatch, name):
    place, inner = tmp_path / name, tmp_path / "mine" / "deep"
    inner.mkdir(parents=True)
    place.mkdir() if name == ".llmspell" else place.write_text("{}" if "json" in name else "")
    os.chown(place, SOMEBODY, -1)
    for user in (ME, 0):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        with pytest.raises(ConfigError, match=f"{name}.*another user"):
            find_project(inner)
    os.chown(inner, SOMEBODY, -1)
    assert find_project(inner).root == tmp_path  # root works in the folder of whoever it is
    for owner in (ME, 0):
        os.chown(place, owner, -1)
        monkeypatch.setattr(os, "geteuid", lambda: ME)
        assert find_project(inner).root == tmp_path


def test_without_one_the_folder_is_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    project = find_project()
    assert project == Project(tmp_path)
    assert project.state_file == tmp_path / ".llmspell" / "state.db"
    assert project.spell_folders == [tmp_path / "spells"]


def test_a_projects_wrong_settings_are_told(write, tmp_path):
    write("nothing = 1")
    with pytest.raises(ConfigError, match="nothing is not a setting"):
        find_project(tmp_path)


FORMS = {
    "llmspell.toml": 'model = "a/b"\n[[plugins]]\nname = "x"\n[plugins.settings]\nn = 1\n',
    "llmspell.json": '{"$schema": "s", "model": "a/b", "plugins": [{"name": "x", "settings": {"n": 1}}]}',
    "llmspell.yaml": "model: a/b\nplugins:\n- name: x\n  settings: {n: 1}\n",
    "llmspell.yml": "{model: a/b, plugins: [{name: x, settings: {n: 1}}]}",
}


@pytest.mark.parametrize("name", FORMS)
def test_settings_are_the_same_in_each_form(write, tmp_path, name):
    file = write(FORMS[name], name)
    project = find_project(tmp_path)
    assert project.file == file
    assert project.settings == check_settings(
        {"model": "a/b", "plugins": [{"name": "x", "settings": {"n": 1}}]}, "x"
    )


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("llmspell.json", '{"a": ', "line 1"),
        ("llmspell.json", "[]", "does not contain a table of settings"),
        ("llmspell.json", '{"modle": "a/b"}', "modle is not a setting"),
        ("llmspell.json", "[" * 100_000, "nested too deeply"),
        ("llmspell.yaml", "[" * 2000, "nested too deeply"),
        ("llmspell.toml", "\na = " + "[" * 2000, "nested too deeply (at line 2)"),
        ("llmspell.json", '{"limits": {"time": 1, "time": 2}}', "the key 'time' occurs twice"),
        (
            "llmspell.yaml",
            "limits:\n  time: 1\n  time: 2",
            "'time' occurs twice, again on line 3",
        ),
        ("llmspell.yaml", "plugins: [{name: a, name: b}]", "'name' occurs twice"),
        ("llmspell.json", r'{"tools": {"modules": ["\ud83d"]}}', "tools.modules.0: half of a"),
        ("llmspell.json", r'{"\ud83d": 1}', r"\ud83d: half of a surrogate pair"),
        ("llmspell.yaml", 'model: "a"\ntools: {"\\ud83d": 1}', "line 2: half of a surrogate"),
        ("llmspell.yaml", "a: [", "line 1"),
        ("llmspell.yaml", "- a", "does not contain a table of settings"),
        (
            "llmspell.yaml",
            "model: !!python/object:os.system x",
            "could not determine a constructor",
        ),
        ("llmspell.yaml", "model: 2026-01-01", "model: "),
    ],
)
def test_a_broken_file_of_any_form_is_told(write, tmp_path, name, text, said):
    write(text, name)
    with pytest.raises(ConfigError) as caught:
        find_project(tmp_path)
    assert name in caught.value.message
    assert said in caught.value.message


@pytest.mark.parametrize("name", FORMS)
def test_a_file_may_begin_with_a_mark_of_its_encoding(write, tmp_path, name):
    write(f"\ufeff{FORMS[name]}", name)
    assert find_project(tmp_path).settings.model == "a/b"


def test_yaml_may_refer_to_itself(write):
    text = (
        "model: &m a/b\nembedder: *m\nproviders:\n  x: &x {timeout: 5}\n  y: {<<: *x, timeout: 6}\n"
    )
    settings = read_settings(write(text, "llmspell.yaml"))
    assert settings.embedder == "a/b"
    assert [settings.providers[name].timeout for name in "xy"] == [5, 6]


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_what_has_the_name_of_the_file_and_is_none_is_not_passed_over(tmp_path, name, make):
    make(tmp_path / name)
    with pytest.raises(ConfigError, match=f"{name}: it is not a file, or a link to one"):
        find_project(tmp_path)


def test_an_empty_file_of_yaml_sets_nothing(write):
    assert read_settings(write("", "llmspell.yaml")) == Settings()


def test_yaml_without_pyyaml_says_what_to_install(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ConfigError, match="YAML needs PyYAML") as caught:
        read_settings(write("model: a/b", "llmspell.yaml"))
    assert "pip install 'llmspell[yaml]'" in caught.value.hint


def test_two_files_are_refused(write, tmp_path):
    write("{}", "llmspell.json")
    write("")
    with pytest.raises(ConfigError, match=r"llmspell\.toml and llmspell\.json both exist"):
        find_project(tmp_path)
