import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmspell.lua_modules import ModuleNotFound, Modules


@pytest.fixture
def folders(tmp_path):
    for name, text in {
        "spells/one.lua": "return 1",
        "spells/two/init.lua": "return 2",
        "spells/deep/three.lua": "return 3",
        "spells/both.lua": "file",
        "spells/both/init.lua": "folder",
        "lua_modules/one.lua": "other",
        "lua_modules/four-x.lua": "return 4",
        "secret.lua": "secret",
    }.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / "spells" / "link.lua").symlink_to("one.lua")
    (tmp_path / "spells" / "escape.lua").symlink_to("../secret.lua")
    (tmp_path / "spells" / "out").symlink_to("..")
    (tmp_path / "spells" / "loop.lua").symlink_to("loop.lua")
    return [tmp_path / "spells", tmp_path / "lua_modules"]


@pytest.mark.parametrize(
    ("name", "source", "file"),
    [
        ("one", "return 1", "spells/one.lua"),
        ("two", "return 2", "spells/two/init.lua"),
        ("deep.three", "return 3", "spells/deep/three.lua"),
        ("deep/three", "return 3", "spells/deep/three.lua"),
        ("both", "file", "spells/both.lua"),
        ("four-x", "return 4", "lua_modules/four-x.lua"),
        ("link", "return 1", "spells/link.lua"),
    ],
)
def test_a_module_is_found_and_its_own_file_shown(folders, name, source, file):
    assert Modules(folders).load(name) == {"source": source.encode(), "file": file}


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../secret",
        "...secret",
        "/etc/passwd",
        "one.lua",
        "a//b",
        "a\\b",
        "a\0b",
        "one ",
        "one\n",
        "é",
        "x" * 300,
        "~/x",
    ],
)
def test_what_is_no_modules_name(folders, name):
    with pytest.raises(ModuleNotFound) as caught:
        Modules(folders).load(name)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["gone", "escape", "out.secret", "loop", "one.two.three"])
def test_what_is_not_in_the_folders(folders, name):
    with pytest.raises(ModuleNotFound, match="no module") as caught:
        Modules(folders).load(name)
    assert str(folders[0]) in caught.value.hint
    assert str(folders[1]) in caught.value.hint
    assert caught.value.code == "module_not_found"


def test_without_folders_there_are_no_modules():
    with pytest.raises(ModuleNotFound, match="no module") as caught:
        Modules([]).load("x")
    assert caught.value.hint == "a stranger's spell finds only what is beside its file; it has none"


@given(st.text("ab./\\-~ \0\n", max_size=12) | st.text(max_size=300))
def test_any_name_is_a_module_of_the_folders_or_refused(tmp_path_factory, name):
    folder = tmp_path_factory.getbasetemp()
    with pytest.raises(ModuleNotFound):
        Modules([folder]).load(name)
