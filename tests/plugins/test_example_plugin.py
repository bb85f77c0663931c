"""The example plugin, installed as a user would, and everything of it used by a spell."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "llmspell-glossary"

SETTINGS = """
[[plugins]]
name = "glossary"
required = true

[plugins.settings]
terms = { DRI = "who decides", OKR = "what we promised" }
spell_out = true
report = "looked-up.json"
"""

SPELL = """
print(look_up{term = "DRI"})
for term, meaning in Glossary.each() do
  print(term .. " is " .. meaning)
end
print(template{text = "ask the DRI", values = {}})
local _, problem = try(Glossary.meaning, "KPI")
print(problem.message, problem.hint)
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Where the example is installed, and nothing else."""
    folder = tmp_path_factory.mktemp("example")
    shutil.copytree(EXAMPLE, folder / "source")
    install = ["install", "--quiet", "--no-deps", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", *install, "--target", folder / "to", folder / "source"]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "to"


@pytest.fixture
def llmspell(packages, tmp_path):
    kept = {name: os.environ[name] for name in ("PATH", "LLMSPELL_CACHE") if name in os.environ}
    environ = kept | {"PYTHONPATH": str(packages), "HOME": str(tmp_path / "home")}
    project = tmp_path / "project"
    project.mkdir()

    def run(*arguments, settings=SETTINGS):
        (project / "llmspell.toml").write_text(settings)
        return subprocess.run(
            [sys.executable, "-m", "llmspell", *arguments],
            capture_output=True,
            check=False,
            text=True,
            cwd=project,
            env=environ,
        )

    run.project = project
    return run


def test_a_spell_uses_all_of_it(llmspell):
    for runs in (1, 2):
        done = llmspell("exec", SPELL)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines() == [
            "who decides",
            "DRI is who decides",
            "OKR is what we promised",
            "ask the DRI (who decides)",
            "no term 'KPI'	available: DRI, OKR",
        ]
        report = json.loads((llmspell.project / "looked-up.json").read_text())
        assert report == {"DRI": 2 * runs, "OKR": runs}


def test_a_spell_in_a_process_of_its_own_uses_it_too(llmspell):
    done = llmspell("exec", "--isolate", "return Glossary.meaning('OKR')")
    assert done.stdout == "what we promised\n", done.stderr


def test_it_does_nothing_where_no_settings_name_it(llmspell):
    done = llmspell("exec", "return Glossary == nil and look_up == nil", settings="")
    assert done.stdout == "true\n"
    listed = llmspell("plugins", "list", settings="").stdout
    assert listed.startswith("glossary  not listed  Words of a team")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("terms = {}", "plugins.glossary.settings.terms: "),
        ("", "plugins.glossary.settings.terms: field required"),
        (
            "terms = {a = 'b'}\nspel_out = true",
            "plugins.glossary.settings.spel_out is not a setting",
        ),
        ("terms = {a = 'b'}\nspell_out = 'perhaps'", "plugins.glossary.settings.spell_out: "),
    ],
)
def test_wrong_settings_are_told_with_file_and_key(llmspell, settings, said):
    text = f'[[plugins]]\nname = "glossary"\n[plugins.settings]\n{settings}\n'
    done = llmspell("exec", "return 1", settings=text)
    assert done.returncode == 2
    assert f"llmspell.toml: {said}" in done.stderr
    assert "hint: settings of glossary are terms, spell_out, report" in done.stderr


def test_what_is_known_of_it(llmspell):
    [listed] = json.loads(llmspell("plugins", "list", "--json").stdout)
    assert listed["name"] == "glossary"
    assert (listed["package"], listed["version"]) == ("llmspell-glossary", "1.0")
    assert listed["brings"] == ["tools", "bridges", "hooks"]
    assert listed["standing"] == "enabled"
    info = llmspell("plugins", "info", "glossary").stdout
    assert "llmspell-glossary 1.0" in info
    assert "terms  object, required  Each term with what it means." in info
    assert "look_up  " in llmspell("tools").stdout


def test_its_settings_are_in_the_schema(llmspell):
    import jsonschema

    schema = json.loads(llmspell("config", "schema").stdout)
    check = jsonschema.Draft202012Validator(schema)
    check.check_schema(schema)
    entry = {"name": "glossary", "settings": {"terms": {"a": "b"}}}
    assert check.is_valid({"plugins": [entry]})
    assert check.is_valid({"plugins": [{"name": "other", "settings": {"x": 1}}]})
    assert not check.is_valid({"plugins": [{"name": "glossary"}]})
    assert not check.is_valid({"plugins": [entry | {"settings": {"terms": {"a": 1}}}]})
    assert not check.is_valid({"plugins": [entry | {"settings": {"terms": {}, "x": 1}}]})
    assert not check.is_valid({"plugin": []})
