import os

import pytest

# Tests start hundreds of processes; without bytecode, each would compile llmspell again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    # It takes longest, and needs everything else to work.
    items.sort(key=lambda item: item.path.name == "test_packaging.py")
