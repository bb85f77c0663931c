"""Where spells are found, and whose they are."""

import os
from pathlib import Path

import pytest

from llmspell.config import Project
from llmspell.errors import ConfigError, SpellNotFound
from llmspell.spell import MAX_SOURCE
from llmspell.spell_lookup import find_spell, named_spells, read_spell, shipped_spells
from llmspell.trust import is_own


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "one.lua": "return 1",
        "spells/two.lua": "return 2",
        "folder/main.lua": "return 3",
        "folder/spell.toml": "description = 'A folder'\n[params]\nn = 1",
        "bad/main.lua": "return 4",
        "bad/spell.toml": "params = 1",
        "two/notes.txt": "no spell",
    }.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    return tmp_path


def test_a_file(project):
    spell = find_spell("one.lua")
    assert (spell.name, spell.file, spell.source) == ("one", "one.lua", b"return 1")
    assert spell.folder == project
    assert find_spell(str(project / "one.lua")).file == "one.lua"


def test_a_folder(project):
    spell = find_spell("folder")
    assert (spell.name, spell.file, spell.description) == ("folder", "folder/main.lua", "A folder")
    assert spell.bind({}) == {"n": 1}
    assert spell.folder == project / "folder"
    assert find_spell("folder/main.lua").name == "folder"
    with pytest.raises(ConfigError, match=r"spell\.toml"):
        find_spell("bad")


def test_a_name(project):
    assert find_spell("two").source == b"return 2"  # the folder of that name is no spell
    assert find_spell("two", Project(project)).file == "spells/two.lua"
    with pytest.raises(SpellNotFound):
        find_spell("two", Project(project / "folder"))


def test_the_shipped_spells_are_found_and_sound(project):
    assert shipped_spells()
    for path in shipped_spells():
        spell = find_spell(path.stem)
        assert spell.name == path.stem
        assert spell.description
        assert all(parameter.help for parameter in spell.params.values())


def test_a_spell_of_the_project_hides_a_shipped_one(project):
    name = shipped_spells()[0].stem
    (project / "spells" / f"{name}.lua").write_text("return 'mine'")
    assert find_spell(name).source == b"return 'mine'"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("twoo", "two"),
        ("nothing-like-it", "llmspell spells"),
        ("three.lua", "looked in"),
        ("no/such", "llmspell spells"),
        ("x" * 300, "llmspell spells"),
        ("x" * 300 + ".lua", "looked in"),
        ("a\0b", "llmspell spells"),
        ("https://example.com/x.lua", "llmspell run"),
    ],
)
def test_what_is_not_there(project, name, hint):
    with pytest.raises(SpellNotFound) as caught:
        find_spell(name)
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


def test_a_pipe_is_no_spell_of_the_project(project):
    os.mkfifo(project / "spells/waits.lua")
    names = named_spells(Project(project))
    assert "two" in names
    assert "waits" not in names


@pytest.mark.parametrize("file", ["waits.lua", "waits/main.lua"])
def test_nobody_waits_for_a_named_pipe(project, file):
    (project / "waits").mkdir()
    os.mkfifo(project / file)
    with pytest.raises(SpellNotFound, match=f"{file} is a named pipe") as caught:
        find_spell(file)
    assert caught.value.hint == f"read it with: llmspell run - < {file}"


def test_a_file_that_cannot_be_read(project):
    with pytest.raises(SpellNotFound, match="gone"):
        read_spell(project / "gone.lua")
    with pytest.raises(SpellNotFound, match="spells"):
        read_spell(project / "spells")


@pytest.mark.parametrize("name", [b"b\xff.lua", b"f\xff/a.lua"])
def test_a_name_that_is_not_utf_8(project, name):
    path = Path(os.fsdecode(name))
    path.parent.mkdir(exist_ok=True)
    path.write_text("return 1")
    with pytest.raises(SpellNotFound) as caught:
        find_spell(str(path))
    assert caught.value.message == f"cannot read {repr(name)[1:]}: its name is not UTF-8"


def test_a_file_without_end(project):
    with pytest.raises(SpellNotFound, match="cannot read /dev/zero: it is larger than 16 MiB"):
        find_spell("/dev/zero")
    (project / "one.lua").write_bytes(b"return 1".ljust(MAX_SOURCE))
    assert len(find_spell("one.lua").source) == MAX_SOURCE


def test_how_a_file_is_shown(project, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("x" * 60) / "far.lua"
    elsewhere.write_text("return 1")
    assert read_spell(elsewhere).file == "far.lua"  # Lua would cut a longer name
    os.chdir("/")
    try:
        assert read_spell(project / "one.lua").file == str(project / "one.lua")[1:]
    finally:
        os.chdir(project)


# Whose it is


@pytest.fixture
def stray(tmp_path_factory):
    """A spell outside the project."""
    file = tmp_path_factory.mktemp("elsewhere") / "stray.lua"
    file.write_text("return 5")
    return file


def test_spells_of_the_project_and_shipped_ones_are_the_users_own(project):
    for name in ("one.lua", "folder", "two", str(project / "one.lua"), shipped_spells()[0].stem):
        assert find_spell(name).trusted


def test_others_are_a_strangers(project, stray):
    assert not find_spell(str(stray)).trusted
    assert not find_spell(os.path.relpath(stray)).trusted
    assert not find_spell(str(project / "one.lua"), Project(project / "folder")).trusted


def test_links_are_followed_before_it_is_judged(project, stray, monkeypatch):
    (project / "spells" / "linked.lua").symlink_to(stray)
    assert not find_spell("linked").trusted
    (stray.parent / "back.lua").symlink_to(project / "one.lua")
    assert find_spell(str(stray.parent / "back.lua")).trusted
    (stray.parent / "way").symlink_to(project)
    monkeypatch.chdir(stray.parent / "way")
    assert find_spell("one.lua", Project(Path())).trusted
    (project / "up").symlink_to(stray.parent)
    assert not find_spell("up/stray.lua").trusted


def test_a_pipe_is_a_strangers(project):
    reading, writing = os.pipe()
    os.write(writing, b"return 6")
    os.close(writing)
    spell = find_spell(f"/dev/fd/{reading}")
    os.close(reading)
    assert (spell.source, spell.trusted) == (b"return 6", False)


@pytest.mark.parametrize("above", [".", ".."])
def test_the_home_folder_is_nobodys_project(project, monkeypatch, above):
    monkeypatch.setenv("HOME", str(project))
    wide = Project((project / above).resolve())
    assert not is_own(project / "one.lua", wide)
    assert not is_own(project / "folder" / "main.lua", wide)
    assert is_own(shipped_spells()[0].resolve(), wide)
    assert is_own(project / "folder" / "main.lua", Project(project / "folder"))
    assert is_own(project / "spells" / "two.lua", Project(project))


def test_a_folder_that_everybody_may_write_to_is_nobodys_project(project):
    project.chmod(0o1777)
    assert not is_own(project / "one.lua", Project(project))
    assert is_own(project / "spells" / "two.lua", Project(project))
    project.chmod(0o755)
    assert is_own(project / "one.lua", Project(project))


def test_an_empty_name_can_be_seen(tmp_path):
    with pytest.raises(SpellNotFound, match="no spell named ''"):
        find_spell("", Project(tmp_path))
