import pytest

from llmspell.effects import Effect
from llmspell.permissions import Grants


class BareRun:
    """A run that has grants and nothing else."""

    id = "test"

    def __init__(self, grants):
        self._grants = grants

    def __getitem__(self, service):
        assert service is Grants
        return self._grants

    def perform(self, effect):
        raise AssertionError(f"performed {effect.name}")

    def call(self, function, args, path):
        raise AssertionError(f"called {function}")


@pytest.fixture
def call():
    """Calls a tool as the engine does: arguments checked, then judged, then used."""

    async def call(tool, grants=None, /, **arguments):
        grants = Grants.all() if grants is None else grants
        effect = Effect("tool.call", {"name": tool.name, "args": arguments}, "0/0", BareRun(grants))
        bound = tool.bind(arguments)
        for need in tool.needs(bound):
            grants.check(need, by=tool.name)
        return await tool.invoke(effect, bound)

    return call
