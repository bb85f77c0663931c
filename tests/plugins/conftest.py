import pytest

from llmspell import Runtime
from llmspell.config import Project
from llmspell.config.validation import check_settings
from llmspell.state import MemoryStore


@pytest.fixture
def new_runtime(tmp_path):
    """Creates runtimes whose project has the given settings."""

    def make(settings=None, **options):
        project = Project(tmp_path, check_settings(settings or {}, "x"), tmp_path / "llmspell.toml")
        return Runtime(**{"project": project, "store": MemoryStore()} | options)

    return make
