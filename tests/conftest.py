import os

import pytest

# Tests start hundreds of processes; without its bytecode each would compile llmspell anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    # What takes longest, and needs all the rest to work.
    items.sort(key=lambda item: item.path.name == "test_packaging.py")
