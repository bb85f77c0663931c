import subprocess
import sys

import pytest

from llmspell.bridge import BUILT_IN, Bridge, Bridges
from llmspell.effects import Handler
from llmspell.errors import PluginError, UnknownEffect


@pytest.fixture
def greeting(tmp_path):
    (tmp_path / "greeting.lua").write_text("return { Greeting = {} }")
    bridge = Bridge("greeting", str(tmp_path / "__init__.py"))

    @bridge.effect()
    def hello(name: str) -> str:
        return f"hello {name}"

    @bridge.effect("list", leaf=False)
    def listing() -> list[str]:
        return []

    return bridge


def test_a_bridge_names_its_effects(greeting):
    assert list(greeting.handlers) == ["greeting.hello", "greeting.list"]
    handler = greeting.handlers["greeting.list"]
    assert isinstance(handler, Handler)
    assert (handler.name, handler.leaf) == ("greeting.list", False)
    assert greeting.handlers["greeting.hello"].leaf
    assert greeting.lua == "return { Greeting = {} }"


def test_its_lua_may_be_missing(tmp_path):
    assert Bridge("greeting", str(tmp_path / "__init__.py")).lua is None


def test_the_lua_of_all_bridges_is_told_in_order_of_loading(greeting, tmp_path):
    greeting.globals = ("Greeting",)
    parts = Bridges([Bridge("silent", str(tmp_path / "__init__.py")), greeting]).lua()
    assert parts[-1][:3] == ("greeting", "return { Greeting = {} }", ("Greeting",))
    built_in = [part.name for part in parts[:-1]]
    assert built_in == [name for name in BUILT_IN if name in built_in]
    assert {"state", "agent", "tool", "hook"} <= set(built_in)
    assert all(part.source and part.globals == BUILT_IN[part.name] for part in parts[:-1])


def test_handlers_are_found_by_the_effects_name(greeting):
    bridges = Bridges([greeting])
    assert bridges.handler("greeting.hello") is greeting.handlers["greeting.hello"]
    assert bridges.handler("state.get").name == "state.get"


@pytest.mark.parametrize(
    ("effect", "suggestion"),
    [
        ("greeting.helo", "greeting.hello"),
        ("stat.get", "state.get"),
        ("", None),
        ("state", None),
        ("..", None),
        ("state.get.x", "state.get"),
    ],
)
def test_an_unknown_effect_has_suggestions(greeting, effect, suggestion):
    with pytest.raises(UnknownEffect) as caught:
        Bridges([greeting]).handler(effect)
    assert repr(effect) in caught.value.message
    if suggestion:
        assert suggestion in caught.value.details["suggestions"]


def test_names_are_taken_once(greeting):
    with pytest.raises(PluginError, match="'state' is built in"):
        Bridges([Bridge("state", __file__)])
    with pytest.raises(PluginError, match="two bridges named 'greeting'"):
        Bridges([greeting, Bridge("greeting", __file__)])


def test_a_global_is_declared_by_one_bridge_only():
    tea, cake = Bridge("tea", __file__, globals=("Kitchen",)), Bridge("cake", __file__)
    Bridges([tea, cake])
    cake.globals = ("Oven", "Kitchen")
    with pytest.raises(PluginError, match="'tea' and 'cake' both define Kitchen"):
        Bridges([tea, cake])


def test_every_built_in_bridge_is_sound(greeting):
    bridges = list(Bridges([greeting]).values())
    assert [b.name for b in bridges] == sorted([*BUILT_IN, "greeting"])
    for bridge in bridges:
        for name, handler in bridge.handlers.items():
            assert name == handler.name
            assert name.startswith(f"{bridge.name}.")
            assert handler.signature.schema["type"] == "object"
            handler.signature.injected_first  # noqa: B018 - it is refused where it cannot be filled in
            assert bridge is greeting or handler.signature.summary, name


def test_a_bridges_python_is_imported_at_its_first_effect():
    code = (
        "import sys; from llmspell.bridge import Bridges\n"
        "bridges = Bridges([])\n"
        "assert not [m for m in sys.modules if m.startswith('llmspell.bridges.')]\n"
        "bridges.handler('clock.now')\n"
        "assert [m for m in sys.modules if m.startswith('llmspell.bridges.')] == ['llmspell.bridges.clock']"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_bridges_are_described_and_found(tmp_path):
    (tmp_path / "README.md").write_text("# Greeting\n\nSays hello\nto people.\n\nMore.\n")
    greeting = Bridge("greeting", str(tmp_path / "__init__.py"), tags=("polite",))

    @greeting.effect(leaf=False)
    def hello(name: str = "you") -> str:
        """Say hello."""
        return name

    bridges = Bridges([greeting])
    about = greeting.describe()
    assert about["description"] == "Says hello to people."
    assert (about["category"], about["tags"]) == ("user", ["polite"])
    (effect,) = about["effects"]
    assert (effect["name"], effect["description"], effect["leaf"]) == (
        "greeting.hello",
        "Say hello.",
        False,
    )
    assert effect["schema"]["properties"]["name"]["default"] == "you"
    assert bridges.search("people") == bridges.search(tag="polite") == [greeting]
    assert bridges.by_category()["user"] == [greeting]
    assert {b.name for b in bridges.search(category="built-in")} == set(BUILT_IN)
    assert all(b.description for b in bridges.search("state"))
    assert bridges["state"].describe()["globals"] == ["State"]
    bridges.remove("greeting")
    assert "greeting" not in bridges


FAULTS = {
    "return {": "does not compile: mine.lua:1: ",
    "\nlocal host = ...\nreturn host.nothing.at_all": "fails: mine.lua:3: attempt to index a nil",
    "error('not today', 0)": "fails: not today$",
    "return 5": "fails: it returns a number instead of a table of globals$",
    "return {Other = {}}": "fails: it does not define Mine$",
    "return {Mine = {}, print = error}": "fails: it redefines print$",
    "return {Mine = {}, State = {}} -- last": "fails: it redefines State$",
}


@pytest.mark.parametrize(("lua", "fault"), FAULTS.items())
def test_lua_that_does_not_load_is_refused(lua, fault):
    bridge = Bridge("mine", __file__, globals=("Mine",))
    bridge.lua = lua
    with pytest.raises(PluginError, match=f"the Lua of the bridge 'mine' {fault}"):
        Bridges([bridge])


def test_two_bridges_do_not_define_the_same_undeclared_global():
    one, two = Bridge("one", __file__), Bridge("two", __file__)
    one.lua = two.lua = "return {Mine = {}}"
    with pytest.raises(PluginError, match="'two' fails: it redefines Mine"):
        Bridges([one, two])
