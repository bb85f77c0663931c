"""A spell that only prints waits for nothing it does not use."""

import re
import subprocess
import sys

import pytest

UNUSED = {
    "anyio",
    "httpx2",
    "importlib.metadata",
    "importlib.resources",
    "jsonschema",
    "numpy",
    "pydantic",
    "rich",
    "tomllib",
    "xllamacpp",
    "llmspell.agents.agent",
    "llmspell.cli.human_prompts",
    "llmspell.hooks.dispatch",
    "llmspell.hooks.results",
    "llmspell.isolation.workers",
    "llmspell.plugins",
    "llmspell.providers.endpoints",
    "llmspell.providers.messages",
    "llmspell.providers.redaction",
    "llmspell.state.memory",
    "llmspell.state.sqlite",
}
_IMPORTED = re.compile(r"^import time: .*\| +(\S+)$", re.MULTILINE)


@pytest.fixture
def imported(project, environ):
    def names(*arguments):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "llmspell", *arguments],
            capture_output=True,
            check=True,
            text=True,
            cwd=project,
            env=environ,
        )
        return set(_IMPORTED.findall(done.stderr))

    return names


def test_a_spell_that_prints(imported, write):
    write("s.lua", "print(params.n)", "[params]\nn = 1")
    for arguments in (("exec", "print(1)"), ("exec", "-q", "return 'x'")):
        names = imported(*arguments)
        assert "lupa.lua55" in names
        assert names & UNUSED == set()
    assert imported("s.lua") & UNUSED == {"tomllib"}


def test_the_version_needs_no_lua(imported):
    assert "lupa.lua55" not in imported("version")


def test_help_needs_no_lua(imported):
    assert "lupa.lua55" not in imported("--help")
