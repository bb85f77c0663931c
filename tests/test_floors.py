"""Imports point down, and some only where they may: read off the source with `ast`.

An import inside a function counts like any other, since it can close a circle too. One under
`if TYPE_CHECKING` does not: it never runs, and a type of a higher floor may well be named.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from llmspell.bridge import BUILT_IN

ROOT = Path(__file__).parent.parent

# A module may import its own floor and those below. The longest name that fits counts.
FLOORS = {
    "llmspell.addresses": 0,
    "llmspell.atomic_files": 0,
    "llmspell.base64_secrets": 0,
    "llmspell.clock": 0,
    "llmspell.concurrency": 0,
    "llmspell.console": 0,
    "llmspell.bounded_json": 0,
    "llmspell.content_encoding": 0,
    "llmspell.durations": 0,
    "llmspell.eager_steps": 0,
    "llmspell.effect_paths": 0,
    "llmspell.errors": 0,
    "llmspell.frozen": 0,
    "llmspell.kept": 0,
    "llmspell.limits": 0,
    "llmspell.source_text": 0,
    "llmspell.stack_room": 0,
    "llmspell.toml_parsing": 0,
    "llmspell.run_output": 0,
    "llmspell.shutdown": 0,
    "llmspell.suggestions": 0,
    "llmspell.threads": 0,
    "llmspell.token_bucket": 0,
    "llmspell.values": 0,
    "llmspell.version": 0,
    "llmspell.factory": 1,
    "llmspell.formats": 1,
    "llmspell.importing": 1,
    "llmspell.parameters": 1,
    "llmspell.permissions": 1,
    "llmspell.schema": 1,
    "llmspell.schema_checker": 1,
    "llmspell.signature": 1,
    "llmspell.sqlite_file": 1,
    "llmspell.effects": 2,
    "llmspell.front_matter": 2,
    "llmspell.permissions.front_matter": 2,
    "llmspell.permissions.recording": 2,
    "llmspell.registry": 2,
    "llmspell.active_runs": 1,
    "llmspell.effect_patterns": 1,
    "llmspell.shipped": 1,
    "llmspell.approvals": 3,
    "llmspell.bridge": 3,
    "llmspell.callback_tasks": 3,
    "llmspell.events": 3,
    "llmspell.hooks": 3,
    "llmspell.human": 3,
    "llmspell.journal": 3,
    "llmspell.lua": 3,
    "llmspell.lua_modules": 3,
    "llmspell.providers": 3,
    "llmspell.spell": 3,
    "llmspell.spending": 3,
    "llmspell.state": 3,
    "llmspell.tools": 3,
    "llmspell.agents": 4,
    "llmspell.child_runs": 4,
    "llmspell.config": 4,
    "llmspell.hooks.configured": 4,
    "llmspell.isolation": 4,
    "llmspell.metrics": 4,
    "llmspell.middleware": 4,
    "llmspell.misused_names": 4,
    "llmspell.permissions.policy": 4,
    "llmspell.spell_download": 4,
    "llmspell.spell_lookup": 4,
    "llmspell.trust": 4,
    "llmspell.bridges": 5,
    "llmspell.components": 5,
    "llmspell.driver": 5,
    "llmspell.engine": 5,
    "llmspell.plugins": 5,
    "llmspell.project_journal": 5,
    "llmspell.resume_inputs": 5,
    "llmspell.stores": 5,
    "llmspell.reruns": 6,
    "llmspell.run_config": 6,
    "llmspell.runs": 6,
    "llmspell.runtime": 6,
    "llmspell.runtime_arguments": 6,
    "llmspell.bridges.expect": 7,
    "llmspell.bridges.test": 7,
    "llmspell.cli": 7,
    "llmspell.testing": 7,
    "llmspell.__main__": 8,
}

# The package itself hands out the public names; everything may ask it for its version.
FACADE = "llmspell"

# Packages of one floor that know nothing of each other.
STRANGERS = [
    ("llmspell.state", "llmspell.providers"),
    ("llmspell.state", "llmspell.tools"),
    ("llmspell.state", "llmspell.events"),
    ("llmspell.tools", "llmspell.providers"),
    ("llmspell.lua", "llmspell.tools"),
    ("llmspell.lua", "llmspell.state"),
    ("llmspell.lua", "llmspell.providers"),
    ("llmspell.hooks", "llmspell.tools"),
    ("llmspell.agents", "llmspell.middleware"),
    ("llmspell.agents", "llmspell.config"),
]

# Heavy or dangerous packages, and the only modules that import them.
ONLY = {
    # One runs spells, the others compile and try out our own Lua.
    "lupa": {"llmspell.lua.vm", "llmspell.lua.image", "llmspell.lua.trial"},
    "click": {"llmspell.cli"},
    "rich": {"llmspell.cli"},
    "sqlite3": {"llmspell.journal", "llmspell.sqlite_file", "llmspell.state"},
    "jsonschema": {"llmspell.schema"},
    "xllamacpp": {"llmspell.providers"},
    "yaml": {"llmspell.formats"},
}

# What start-up cannot afford; who needs it imports it where it is used.
NOT_AT_THE_TOP = {
    "pydantic",
    "httpx2",
    "rich",
    "jsonschema",
    "numpy",
    "genai_prices",
    "importlib.metadata",
    "tomllib",
    "yaml",
}
# Modules that are themselves imported only when they are needed.
LATE = {"llmspell.tools", "llmspell.providers", "llmspell.testing"}
EARLY = {
    "llmspell.tools.tool",
    "llmspell.tools.lua_tool",
    "llmspell.tools.loading",
    "llmspell.tools.registry",
    "llmspell.tools.catalogue",
}


def name_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    if parts[0] == "bridges":
        parts = ("llmspell", *parts)
    return ".".join(parts).removesuffix(".__init__")


@cache
def modules() -> dict[str, ast.Module]:
    files = [f for folder in ("llmspell", "bridges") for f in (ROOT / folder).rglob("*.py")]
    return {name_of(file): ast.parse(file.read_text("utf-8"), str(file)) for file in files}


def below(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def is_type_checking(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    )


def imports(tree: ast.AST, *, inside_functions: bool = True) -> set[str]:
    """The modules and names imported; `from a import b` is `a.b`, as `b` may be a module."""
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif is_type_checking(node):
            found |= set().union(
                *(imports(other, inside_functions=inside_functions) for other in node.orelse)
            )
        elif inside_functions or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found |= imports(node, inside_functions=inside_functions)
    return found


def floor(name: str) -> int | None:
    places = [place for place in FLOORS if below(name, place)]
    return FLOORS[max(places, key=len)] if places else None


def test_every_module_has_a_floor():
    assert [name for name in modules() if floor(name) is None and name != FACADE] == []
    assert [place for place in FLOORS if not any(below(name, place) for name in modules())] == []


def test_imports_point_down():
    up = [
        f"{name} (floor {floor(name)}) imports {imported} (floor {floor(imported)})"
        for name, tree in modules().items()
        if name != FACADE
        for imported in imports(tree)
        if below(imported, FACADE) and (floor(imported) or 0) > floor(name)
    ]
    assert up == []


@pytest.mark.parametrize(("one", "other"), STRANGERS)
def test_strangers_stay_strangers(one, other):
    meetings = [
        f"{name} imports {imported}"
        for mine, theirs in ((one, other), (other, one))
        for name, tree in modules().items()
        if below(name, mine)
        for imported in imports(tree)
        if below(imported, theirs)
    ]
    assert meetings == []


def test_no_two_modules_import_each_other():
    graph = {
        name: {m for i in imports(tree) if (m := module_of(i))} - {name}
        for name, tree in modules().items()
    }
    circles = [
        f"{name} and {other}"
        for name, known in graph.items()
        for other in known
        if FACADE not in (name, other) and name in reachable(graph, other)
    ]
    assert circles == []


def module_of(imported: str) -> str | None:
    """The module an import names, itself or by something in it."""
    while imported and imported not in modules():
        imported = imported.rpartition(".")[0]
    return imported or None


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    ahead = [start]
    while ahead:
        name = ahead.pop()
        if name not in seen and name != FACADE:
            seen.add(name)
            ahead += graph[name]
    return seen


# Bridges


def bridges() -> dict[str, ast.Module]:
    return {name: tree for name, tree in modules().items() if below(name, "llmspell.bridges")}


def test_llmspell_names_no_bridge_but_in_the_list_of_built_ins():
    named = [
        f"{name} imports {imported}"
        for name, tree in modules().items()
        if name not in bridges()
        for imported in imports(tree)
        if imported.startswith("llmspell.bridges.")
    ]
    assert named == []
    folders = {name.split(".")[2] for name in bridges() if name.count(".") >= 2}
    assert {*BUILT_IN, "expect", "test"} == folders  # those are for `llmspell test` alone


def test_a_bridge_knows_no_other_bridge_and_nobody_above():
    above = (
        "llmspell.cli",
        "llmspell.runtime",
        "llmspell.engine",
        "llmspell.driver",
        "llmspell.lua",
    )
    wrong = [
        f"{name} imports {imported}"
        for name, tree in bridges().items()
        for imported in imports(tree)
        if any(below(imported, place) for place in above)
        or (below(imported, "llmspell.bridges") and not below(imported, name))
    ]
    assert wrong == []


# Other packages


@pytest.mark.parametrize("package", ONLY)
def test_a_package_is_imported_only_where_it_belongs(package):
    wrong = [
        name
        for name, tree in modules().items()
        if any(below(imported, package) for imported in imports(tree))
        and not any(below(name, place) for place in ONLY[package])
    ]
    assert wrong == []


def test_start_up_imports_nothing_heavy():
    wrong = [
        f"{name} imports {imported}"
        for name, tree in modules().items()
        if name in EARLY or not any(below(name, place) for place in LATE)
        for imported in imports(tree, inside_functions=False)
        if any(below(imported, heavy) for heavy in NOT_AT_THE_TOP)
    ]
    assert wrong == []
