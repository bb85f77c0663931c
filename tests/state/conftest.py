import pytest

from llmspell.state import MemoryStore, SqliteStore


@pytest.fixture
def state_file(tmp_path):
    return tmp_path / "state.db"


@pytest.fixture
async def sqlite_store(state_file):
    store = SqliteStore(state_file)
    yield store
    await store.close()


@pytest.fixture(params=["memory", "sqlite"])
async def store(request, state_file):
    store = MemoryStore() if request.param == "memory" else SqliteStore(state_file)
    yield store
    await store.close()
