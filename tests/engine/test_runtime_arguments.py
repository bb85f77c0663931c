"""Wrong arguments of a Runtime are told when it is made, not when they are first used."""

import re
from pathlib import Path

import pytest

from llmspell import Budget, Grants, Hook, Limits, Runtime
from llmspell.config import Project
from llmspell.errors import ConfigError, PluginError
from llmspell.permissions import Need


async def one_argument(effect): ...


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"project": "."}, "project: pass a Project, such as find_project(Path(…)), not '.'"),
        ({"grants": {"read": ["x"]}}, "grants: pass Grants(…), not {'read': ['x']}"),
        ({"denied": ["x"]}, "denied: pass Grants(…), not ['x']"),
        ({"limits": 5}, "limits: pass Limits(…) or a dict, not 5"),
        ({"limits": Limits(memory=-1)}, "limits.memory: must be a size above 0"),
        ({"limits": Limits(memory="much")}, "limits.memory: must be a size above 0"),
        ({"limits": Limits(effects=None)}, "limits.effects: must be a whole number above 0"),
        ({"budget": Budget(usd=-1)}, "budget.usd: must be a number of US dollars above 0"),
        ({"store": "x.db"}, "store: pass a store, such as SqliteStore(path), not 'x.db'"),
        ({"tools": one_argument}, "tools: pass a list"),
        ({"hooks": Hook()}, "hooks: pass a list"),
        ({"approved": "tool.call:x"}, "approved: pass a list, not 'tool.call:x'"),
        ({"output": 5}, "output: pass a function, or an object with a method write, not 5"),
        ({"console": 5}, "console: pass a Console"),
        ({"ask": 5}, "ask: pass an async function"),
        ({"person": 5}, "person: pass an object with the methods of Person"),
        ({"park": "1d"}, "park: pass a number of seconds, not '1d'"),
        ({"model": 5, "isolate": "no"}, "isolate: pass a boolean, not 'no'"),
        ({"middleware": [one_argument]}, "one_argument cannot be called: too many"),
    ],
)
def test_what_is_not_what_it_should_be(tmp_path, given, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        Runtime(**{"project": Project(tmp_path)} | given)


def test_items_that_are_not_what_they_should_be(tmp_path):
    with pytest.raises(PluginError, match="5 is not a bridge"):
        Runtime(project=Project(tmp_path), bridges=[5])
    with pytest.raises(TypeError, match="'openai' is not a provider: it has a name, and"):
        Runtime(project=Project(tmp_path), providers=["openai"])


def test_limits_may_be_texts(tmp_path):
    Runtime(project=Project(tmp_path), limits=Limits(memory="8MiB"), budget=Budget(usd="1"))


def test_one_target_is_not_a_list_of_its_letters():
    with pytest.raises(TypeError, match=re.escape("read: '/home' must be in a tuple: ('/home',)")):
        Grants(read="/home")
    with pytest.raises(TypeError, match=re.escape("net: [] is ambiguous: None grants nothing")):
        Grants(net=[])
    grants = Grants(read=[Path("/home")])
    assert grants.read == ("/home",)
    assert grants.allows(Need("read", "/home/a"))
    assert not grants.allows(Need("read", "/etc"))
