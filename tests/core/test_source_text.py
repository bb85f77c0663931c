"""What people write need not be UTF-8, and may begin with a byte order mark."""

import pytest

from llmspell.config import find_project
from llmspell.errors import ConfigError
from llmspell.front_matter import read_toml
from llmspell.spell import parse_spell

MARK = b"\xef\xbb\xbf"


def test_front_matter_that_is_not_utf8_has_its_line():
    source = b"--- /// spell\n--- name = 'tea'\n--- description = 'caf\xe9'\n--- ///\n"
    with pytest.raises(ConfigError, match=r"not UTF-8: byte 0xe9 \(at line 3\)") as caught:
        parse_spell(source, name="tea", file="tea.lua")
    assert caught.value.where == "tea.lua:3"


@pytest.mark.parametrize("form", ["toml", "json", "yaml"])
def test_settings_that_are_not_utf8_have_their_line(tmp_path, form):
    (tmp_path / f"llmspell.{form}").write_bytes(b"\n# caf\xe9")
    with pytest.raises(ConfigError, match=r"not UTF-8: byte 0xe9 \(at line 2\)"):
        find_project(tmp_path)


def test_a_byte_order_mark_is_skipped(tmp_path):
    assert read_toml(MARK + b"name = 'tea'", "spell.toml").name == "tea"
    (tmp_path / "llmspell.toml").write_bytes(MARK + b"model = 'scripted/m'")
    assert find_project(tmp_path).settings.model == "scripted/m"
