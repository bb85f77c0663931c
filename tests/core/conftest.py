"""A run without a Lua state, but with real services, real bridges and the real middleware chain.

Python functions stand for the functions of a spell, indexed by the id of a `LuaFunction`.
"""

import inspect
from types import MappingProxyType

import anyio
import pytest
from hypothesis import HealthCheck, settings

from llmspell.agents.agent import Agents
from llmspell.agents.capabilities import CapabilityTypes
from llmspell.agents.speakers import Speakers
from llmspell.approvals import Approvals
from llmspell.bridge import Bridge, Bridges
from llmspell.concurrency import settled
from llmspell.effects import Effect
from llmspell.errors import LimitExceeded, ToolError
from llmspell.events import Events
from llmspell.hooks import Hooks
from llmspell.journal.recording import Recording
from llmspell.limits import Budget, Limits
from llmspell.middleware import ORDER, arrange, compose
from llmspell.middleware.trace import Observers
from llmspell.permissions import Grants, Need, Permissions
from llmspell.providers.models import Models
from llmspell.providers.scripted import ScriptedProvider
from llmspell.spending.account import Account
from llmspell.spending.accounts import Accounts
from llmspell.spending.prices import Prices
from llmspell.tools.registry import Tools

# No deadline: how long an example takes says more about the machine than about the code.
settings.register_profile("core", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("core")


OWN = Grants(tool=(), llm=())  # what the user's own spells may do without being granted it


class SmallRun:
    id = "run"

    def __init__(
        self,
        *,
        replies=(),
        grants=None,
        permissions=None,
        order=ORDER,
        budget=None,
        prices=MappingProxyType({}),
    ):
        self.probe = Bridge("probe", __file__)
        self.model = ScriptedProvider(replies)
        self.functions = []
        self.paths = []
        self.counted = 0
        self._order = order
        self._bridges = Bridges([self.probe])
        self.account = Account(budget or Budget(), "the run", ends_run=True)
        self._services = {
            Account: self.account,
            Accounts: Accounts(self.account),
            Agents: Agents(),
            Approvals: Approvals(),
            CapabilityTypes: CapabilityTypes(),
            Events: Events(),
            Hooks: Hooks(),
            Limits: Limits(),
            Models: Models("scripted/any", {}, {}, providers=[self.model]),
            Observers: Observers(),
            Prices: Prices(prices, {}),
            Recording: None,
            Permissions: permissions or Permissions(OWN.merged(grants or Grants())),
            Speakers: Speakers(),
            Tools: Tools(),
        }

    def __getitem__(self, service):
        if service not in self._services:  # created on first use, as in a real run
            self._services[service] = service()
        return self._services[service]

    async def perform(self, effect):
        self.paths.append((effect.path, effect.name))
        chain = compose(self._order, self._bridges.handler(effect.name), self)
        return await settled(chain(effect))

    def count(self):
        self.counted += 1

    async def call(self, function, args, path):
        self.paths.append((path, "call"))
        result = self.functions[function.id](*args)
        return await result if inspect.isawaitable(result) else result

    async def do(self, name, /, path="0/0", **args):
        """Perform an effect as the spell would."""
        return await self.perform(Effect(name, args, path, self))


@pytest.fixture
def new_run():
    return SmallRun


@pytest.fixture
def run_with(new_run):
    """Creates a run, perhaps with more middleware, that has effects of its own; `done` is their work."""

    def make(*extra):
        run = new_run(order=arrange(extra), grants=Grants(net=("good.com",)))
        run.done, run.hooks = [], run[Hooks]

        @run.probe.effect()
        async def double(n: int) -> int:
            run.done.append(n)
            return n * 2

        @run.probe.effect()
        def halve(n: int) -> int:
            return n // 2

        @run.probe.effect()
        async def fail(kind: str = "tool") -> None:
            raise {
                "tool": ToolError("broken", retryable=True),
                "limit": LimitExceeded("full", limit="effects", value=5),
                "bug": KeyError("x"),
            }[kind]

        @run.probe.effect(needs=lambda effect: [("probe", Need("net", effect.bound["url"]))])
        def fetch(url: str) -> str:
            run.done.append(url)
            return f"got {url}"

        @run.probe.effect(deadline=lambda effect: effect.bound.get("most"))
        async def wait(seconds: float, most: float | None = None) -> str:
            await anyio.sleep(seconds)
            return "slept"

        return run

    return make


@pytest.fixture
def run():
    return SmallRun()
