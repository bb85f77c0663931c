from __future__ import annotations

import pytest

from llmspell import Runtime
from llmspell.config import Project
from llmspell.journal.reader import Reader
from llmspell.limits import Limits
from llmspell.state import MemoryStore


@pytest.fixture
def printed():
    """The lines that a test's spells have printed."""
    return []


@pytest.fixture
def new_runtime(tmp_path, printed):
    """Creates runtimes whose project is an empty folder. Runs keep no lower limits when resumed."""

    def make(**options):
        options.setdefault("store", MemoryStore())
        options.setdefault("limits", Limits())
        options.setdefault("output", printed.append)
        return Runtime(project=Project(tmp_path), **options)

    return make


@pytest.fixture
def journal(tmp_path):
    """Opens the journal for reading."""
    return lambda: Reader.open(tmp_path / ".llmspell" / "runs.db")
