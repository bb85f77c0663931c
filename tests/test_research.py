"""The page of patterns: every file, name, example and test that it refers to is there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "research.md"

SECTIONS = {
    "Event hook systems": ["Trait-based event design", "Lifecycle hook pattern"],
    "Agent-based systems": ["Agent trait pattern", "Entity, component, system"],
    "Plugin architecture patterns": [
        "Service composition pattern",
        "Configuration-driven plugin system",
    ],
    "Async state management": ["Locks", "Message passing alternative"],
    "Observer pattern implementations": ["Dynamic dispatch observer", "Async observer pattern"],
    "Performance considerations": [
        "Lock contention optimization",
        "Avoiding async mutex overhead",
    ],
    "Recommendations": [
        "Hook system architecture",
        "State management strategy",
        "Agent architecture",
        "Tool system design",
        "Error handling strategy",
    ],
    "Key takeaways": [],
}

_LINK = re.compile(r"\[([^\]]+)\]\(([^)#]*)#?([^)]*)\)")
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_HEADING = re.compile(r"^#+ (.+)$")


def rows():
    """The four cells of each row, and the line."""
    for number, line in enumerate(PAGE.read_text("utf-8").splitlines(), 1):
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and cells[0] not in ("pattern", "---"):
            yield pytest.param(cells, id=f"line {number}")


ROWS = list(rows())


def slug(heading):
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def sections(page):
    """The text under each heading of a page, by its anchor."""
    found, anchor, in_block = {}, "", False
    for line in page.read_text("utf-8").splitlines():
        in_block ^= line.startswith("```")
        heading = None if in_block else _HEADING.match(line)
        if heading:
            anchor = slug(heading[1])
        found[anchor] = found.get(anchor, "") + line + "\n"
    return found


def test_every_section_of_the_study_is_there():
    shown = {}
    for line in PAGE.read_text("utf-8").splitlines():
        if line.startswith("## "):
            shown[line[3:]] = below = []
        elif line.startswith("### "):
            below.append(line[4:])
    assert shown == SECTIONS


@pytest.mark.parametrize("cells", ROWS)
def test_a_pattern_is_where_the_page_says(cells):
    assert len(cells) == 4
    links = _LINK.findall(cells[1])
    assert links
    for text, path, _ in links:
        file = (PAGE.parent / path).resolve()
        assert file.is_file(), path
        if text.startswith("`") and not text.startswith("`benchmarks/"):
            name = text.strip("`").rpartition(".")[2]
            assert re.search(rf"\b{name}\b", file.read_text("utf-8")), f"{name} is not in {path}"


@pytest.mark.parametrize("cells", ROWS)
def test_its_example_runs_with_the_documentation(cells):
    ((_, path, anchor),) = _LINK.findall(cells[2])
    page = (PAGE.parent / path).resolve()
    text = sections(page).get(anchor)
    assert text is not None, f"{path} has no heading #{anchor}"
    assert "```" in text, f"{path}#{anchor} shows no example"


@pytest.mark.parametrize("cells", ROWS)
def test_its_test_is_there(cells):
    ((path, name),) = _TEST.findall(cells[3])
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    assert name in [node.name for node in ast.walk(tree) if isinstance(node, functions)]
