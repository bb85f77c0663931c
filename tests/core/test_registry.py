import pytest

from llmspell.errors import UnknownEffect
from llmspell.registry import Registry


@pytest.fixture
def tools():
    registry = Registry("tool")
    for name in ("write_file", "read_file"):
        registry.register(name, name.upper())
    return registry


def test_it_is_a_mapping_in_order_of_names(tools):
    assert list(tools) == ["read_file", "write_file"]
    assert dict(tools) == {"read_file": "READ_FILE", "write_file": "WRITE_FILE"}
    assert len(tools) == 2
    assert "read_file" in tools
    assert tools.get("nothing") is None
    with pytest.raises(KeyError):
        tools["nothing"]


def test_a_name_is_taken_once(tools):
    with pytest.raises(ValueError, match="tool named 'read_file'"):
        tools.register("read_file", 1)
    assert tools["read_file"] == "READ_FILE"
    tools.register("read_file", 2, replace=True)
    assert tools["read_file"] == 2


def test_removed_things_are_gone(tools):
    tools.remove("read_file")
    tools.remove("read_file")
    assert list(tools) == ["write_file"]


def test_a_child_sees_its_parent_and_hides_what_it_redefines(tools):
    child = Registry("tool", tools)
    child.register("read_file", "mine")
    child.register("extra", "e")
    assert dict(child) == {"extra": "e", "read_file": "mine", "write_file": "WRITE_FILE"}
    assert len(child) == 3
    assert tools["read_file"] == "READ_FILE"
    tools.register("later", 1)
    assert "later" in child
    child.remove("read_file")
    assert child["read_file"] == "READ_FILE"
    child.remove("write_file")  # it is the parent's
    assert "write_file" in child


def test_registering_does_not_disturb_a_reader(tools):
    seen = []
    for name in tools:
        tools.register(f"{name}_2", 1)
        tools.remove("write_file")
        seen.append(name)
    assert seen == ["read_file", "write_file"]


def test_an_unknown_name_has_suggestions(tools):
    child = Registry("tool", tools)
    child.register("read_files", 1)
    with pytest.raises(UnknownEffect) as caught:
        child.find("read_fil")
    error = caught.value
    assert (error.details["kind"], error.details["name"]) == ("tool", "read_fil")
    assert error.details["suggestions"][:2] == ["read_file", "read_files"]
    assert "read_file" in error.hint
    with pytest.raises(UnknownEffect) as caught:
        child.find("zzz")
    assert caught.value.hint is None
    assert child.find("write_file") == "WRITE_FILE"
