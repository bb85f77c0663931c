"""docs/security.md claims what tests hold: those it names are there."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
NAMED = re.findall(r"`([\w/]+\.py)::(\w+)`", (TESTS.parent / "docs/security.md").read_text("utf-8"))


def test_every_test_that_is_named_is_there():
    assert len(NAMED) > 20
    for file, name in NAMED:
        tree = ast.parse((TESTS / file).read_text("utf-8"))
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        assert name in {n.name for n in tree.body if isinstance(n, functions)}, f"{file}::{name}"


def test_every_attack_names_its_test():
    page = (TESTS.parent / "docs/security.md").read_text("utf-8")
    table = page.partition("| attack |")[2].partition("\n\n")[0].splitlines()[2:]
    for line in table:
        assert re.search(r"\| `[\w/]+\.py::\w+`(, `[\w/]+\.py::\w+`)* \|$", line), line
