import pytest

from llmspell.concurrency import settled
from llmspell.effects import Effect, Handler
from llmspell.errors import InvalidArguments
from llmspell.values import LuaFunction

pytestmark = pytest.mark.anyio


def greet(name: str, times: int = 1) -> str:
    return name * times


def place(effect: Effect, key: str = "") -> str:
    return effect.path + key


def effect_of(run, **args):
    return Effect("probe.greet", args, "0/3", run)


async def test_a_handler_is_a_typed_function(run):
    handler = Handler("probe.greet", greet)
    effect = effect_of(run, name="a", times=2.0)
    effect.bound = handler.check(effect)
    assert effect.bound == {"name": "a", "times": 2}
    assert effect.args == {"name": "a", "times": 2.0}
    assert handler.perform(effect) == "aa"
    assert handler.leaf
    with pytest.raises(InvalidArguments, match=r"^probe\.greet: name is required"):
        handler.check(effect_of(run))


async def test_a_handler_may_take_the_effect(run):
    handler = Handler("probe.place", place)
    effect = effect_of(run, key="!")
    effect.bound = handler.check(effect)
    assert handler.perform(effect) == "0/3!"


async def test_a_handler_may_bind_by_itself(run):
    handler = Handler("probe.greet", greet, bind=lambda effect: {"name": effect.path})
    effect = effect_of(run)
    effect.bound = handler.check(effect)
    assert handler.perform(effect) == "0/3"


async def test_paths_are_fixed_when_asked_for_not_when_awaited(run):
    @run.probe.effect()
    async def where(effect: Effect) -> str:
        return effect.path

    effect = effect_of(run)
    first, second = effect.perform("probe.where"), effect.perform("probe.where")
    run.functions.append(lambda *args: list(args))
    called, again = effect.call(LuaFunction(0), 1, 2), effect.call(LuaFunction(0))
    assert await second == "0/3/1"
    assert await first == "0/3/0"
    assert await again == []
    assert await called == [1, 2]
    assert run.paths == [
        ("0/3/1", "probe.where"),
        ("0/3/0", "probe.where"),
        ("0/3.1", "call"),
        ("0/3.0", "call"),
    ]


async def test_an_argument_may_be_named_name(run):
    @run.probe.effect()
    def echo(name: str) -> str:
        return name

    assert await effect_of(run).perform("probe.echo", name="x") == "x"


async def test_settled_takes_values_and_what_comes_later():
    async def later():
        return 2

    assert await settled(1) == 1
    assert await settled(None) is None
    assert await settled(later()) == 2
