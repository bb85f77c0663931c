"""TOML that is nested too deeply for the parser."""

import time

import pytest

from llmspell.toml_parsing import parse_toml

DEEP = "[" * 9999


@pytest.mark.parametrize(
    ("before", "line"),
    [
        ("a = ", 1),
        ("[[a]]\nb = [\n[{c = 1}]]\nd = ", 4),
        ('a = \'[[[\'\nb = "\\"[[["\nc = ', 3),
        ('a = \'\'\'\n[[[\'\n\'\'\'\nb = """[[\n\\"""["""\nc = ', 6),
        ("# [[[ it's\na = ['']\nb = \"\"\nc = ", 4),
        ("a = [[[\n", 2),
    ],
)
def test_the_line_is_named(before, line):
    for deep in (DEEP, f"{DEEP}\n]]]\n[", "{a=" * 9999):
        with pytest.raises(ValueError, match=rf"nested too deeply \(at line {line}\)"):
            parse_toml(before + deep)


@pytest.mark.parametrize("part", ["[", '"', "'''", '\\"""', '"""', "\\", "#", "x\n"])
def test_it_is_found_in_one_pass(part):
    before = time.process_time()
    with pytest.raises(ValueError, match="at line 1"):
        parse_toml(f"a = {DEEP}{part * 200_000}\\")
    assert time.process_time() - before < 3
