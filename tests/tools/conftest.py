import pytest

from llmspell.effects import Effect
from llmspell.permissions import Grants, Permissions


class BareRun:
    """A run that has only permissions."""

    id = "test"

    def __init__(self, permissions):
        self._permissions = permissions

    def __getitem__(self, service):
        assert service is Permissions
        return self._permissions

    def perform(self, effect):
        raise AssertionError(f"performed {effect.name}")

    def call(self, function, args, path):
        raise AssertionError(f"called {function}")


@pytest.fixture
def call():
    """Calls a tool as the engine does: checks its arguments and permissions, then invokes it."""

    async def call(tool, permissions=None, /, **arguments):
        if not isinstance(permissions, Permissions):
            permissions = Permissions(Grants.all() if permissions is None else permissions)
        run = BareRun(permissions)
        effect = Effect("tool.call", {"name": tool.name, "args": arguments}, "0/0", run)
        bound = tool.bind(arguments)
        for need in tool.needs(bound):
            permissions.check(need, by=tool.name)
        return await tool.invoke(effect, bound)

    return call
