"""The reference pages name what is there, all of it and nothing else."""

from __future__ import annotations

import json
import re
import runpy
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_args, get_type_hints

import click
import pytest

from llmspell import Limits, Runtime
from llmspell.bridge import BUILT_IN, Bridges
from llmspell.cli.commands import COMMANDS, command
from llmspell.config import Project, Settings
from llmspell.effects import Effect
from llmspell.errors import LlmspellError, error_classes
from llmspell.providers.catalogue import CATALOGUE, KINDS
from llmspell.providers.deserialization import ModelRequest
from llmspell.providers.quirks import Quirks
from llmspell.state import MemoryStore
from llmspell.tools.catalogue import BUILTIN
from llmspell.tools.registry import BuiltInTools

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"

# Every function that a spell can reach from a bridge's global or from what its functions return.
WALK = """
local objects = {
  agent = getmetatable(Agent.create{}).__index,
  builder = Agent.builder(),
  team = getmetatable(Team.vote{print}).__index,
  os = os,
  require = require,
}
for _, name in ipairs(arg) do
  objects[name] = _G[name]
end
getmetatable(objects.builder).__index.__index = nil
objects.builder = getmetatable(objects.builder) or objects.builder
local found = {}
for name, object in pairs(objects) do
  if type(object) == "function" then
    found[#found + 1] = name
  else
    local sign = name:match("^%l") and name ~= "os" and ":" or "."
    for field in pairs(object) do
      found[#found + 1] = name .. sign .. field
    end
  end
end
for _, field in ipairs{"limits", "grants", "model", "project"} do
  found[#found + 1] = Config[field] ~= nil and "Config." .. field or nil
end
return found
"""


def page_of(bridge):
    return (ROOT / "bridges" / bridge / "README.md").read_text("utf-8")


def documented(text):
    """The functions and fields that a page names in headings: `### `Agent.create(options)``."""
    places = re.findall(r"^(?:### |Also |Also the global )`([\w.:]+)", text, re.MULTILINE)
    return {*places, *re.findall(r"`(builder:\w+)", text)}


async def reachable(folder):
    names = ["Task", *(name for made in BUILT_IN.values() for name in made)]
    spell = folder / "walk.lua"
    spell.write_text(WALK)
    async with Runtime(project=Project(folder), store=MemoryStore(), model="openai/x") as runtime:
        return set(await runtime.run(spell, arguments=names))


@pytest.mark.anyio
async def test_the_pages_name_every_function_of_every_global(tmp_path):
    named = set().union(*(documented(page_of(bridge)) for bridge in BUILT_IN))
    handles = {"hook:remove", "task:await", "task:cancel", "task:done", "watch:stop"}
    handles |= {"subscription:receive", "subscription:unsubscribe"}
    assert named - handles - {"arg"} == await reachable(tmp_path)
    assert handles <= named


@pytest.mark.anyio
async def test_handles_have_the_methods_that_are_named(tmp_path):
    spell = tmp_path / "handles.lua"
    spell.write_text("""
        local hook, task = Hook.after("tool.call", print), Task.spawn(Task.sleep, 0)
        local watch = State.watch("x", print)
        return {type(hook.remove), type(task.await), type(task.cancel), type(task.done), type(watch.stop)}
    """)
    async with Runtime(project=Project(tmp_path), store=MemoryStore()) as runtime:
        assert await runtime.run(spell) == ["function"] * 5


@pytest.mark.parametrize("bridge", Bridges([]).values(), ids=lambda bridge: bridge.name)
def test_the_page_of_a_bridge_lists_its_effects_and_their_arguments(bridge):
    rows = re.findall(rf"^\| `({bridge.name}\.\w+)` \|(.*)\|$", page_of(bridge.name), re.MULTILINE)
    listed = {name: re.findall(r"`(\w+)`", arguments) for name, arguments in rows}
    assert listed == {name: arguments_of(h) for name, h in bridge.handlers.items()}


def arguments_of(handler):
    if handler.name == "model.request":
        return [f.name for f in fields(ModelRequest) if f.name != "key"] + ["stream"]
    assert handler.signature.injected_first in (Effect, None)
    return [p.name for p in handler.signature.parameters]


def kind_of(schema):
    """A JSON Schema in a few words: `string or list`."""
    for union in ("anyOf", "oneOf"):
        if union in schema:
            kinds = [kind_of(s) for s in schema[union] if s.get("type") != "null"]
            return " or ".join(dict.fromkeys(kinds))
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    names = {"object": "table", "array": "list"}
    return names.get(schema.get("type"), schema.get("type", "any value"))


def parameter_table(tool):
    """How docs/tools.md shows a tool's parameters; the words are those of its schema."""
    if not tool.schema.get("properties"):
        return "It takes no arguments."
    lines = ["| parameter | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in tool.schema["properties"].items():
        default = "required" if name in tool.schema.get("required", ()) else "none"
        if "default" in field:
            default = f"`{json.dumps(field['default'])}`"
        cells = [f"`{name}`", kind_of(field), default, field["description"]]
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


@pytest.mark.parametrize("name", BUILTIN)
def test_the_page_of_tools_shows_each_with_its_parameters_and_calls_it(name):
    text = (DOCS / "tools.md").read_text("utf-8")
    section = text.partition(f"\n### {name}\n")[2].partition("\n## ")[0].partition("\n### ")[0]
    assert parameter_table(BuiltInTools()[name]) in section
    assert re.search(rf"```lua[^`]*\b{name}\b", section), "no example calls it"


def test_the_page_of_tools_shows_no_other_tool():
    text = (DOCS / "tools.md").read_text("utf-8")
    assert set(re.findall(r"^### (\w+)$", text, re.MULTILINE)) == set(BUILTIN)


def settings_of(kind, prefix=""):
    """Every key of llmspell.toml: `state.backend`, `providers.NAME.base_url`."""
    hints = get_type_hints(kind)
    for entry in fields(kind):
        inner = hints[entry.name]
        if entry.name in {"providers", "prices"}:
            yield from settings_of(get_args(inner)[1], f"{entry.name}.NAME.")
        elif entry.name in {"hooks", "middleware", "plugins"}:
            yield from settings_of(get_args(inner)[0], f"{entry.name}.")
        elif is_dataclass(inner):
            yield from settings_of(inner, f"{prefix}{entry.name}.")
        else:
            yield f"{prefix}{entry.name}"


def test_the_page_of_the_configuration_lists_every_setting():
    text = (DOCS / "configuration.md").read_text("utf-8")
    rows = re.findall(r"^\| `([\w.]+)` \|[^|]*\|[^|]*\|$", text, re.MULTILINE)
    assert sorted(rows) == sorted(settings_of(Settings))


def test_the_page_of_providers_lists_each_with_its_key_and_every_quirk():
    text = (DOCS / "providers.md").read_text("utf-8")
    rows = [re.findall(r"`([^`]+)`", line) for line in text.splitlines() if line.startswith("|")]
    for name, listed in CATALOGUE.items():
        (row,) = [row for row in rows if name in row and listed.kind == row[-1]]
        assert set(listed.keys) <= set(row), name
    assert set(KINDS) <= {row[0] for row in rows if row}
    assert {field.name for field in fields(Quirks)} <= {row[0] for row in rows if row}


def test_the_page_of_limits_gives_each_with_its_default():
    text = (DOCS / "permissions-and-limits.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d,.]+) \|", text, re.MULTILINE))
    assert rows == {f.name: f"{f.default:,}" for f in fields(Limits)}


def test_the_page_of_the_command_line_has_every_command_and_option():
    text = (DOCS / "cli.md").read_text("utf-8")
    context = click.Context(command, help_option_names=["-h", "--help"])
    for name in COMMANDS:
        heading = f"\n## llmspell {name}\n"
        assert heading in text
    found = [command.get_command(context, name) for name in COMMANDS]
    found += [sub for c in found if isinstance(c, click.Group) for sub in c.commands.values()]
    options = {
        opt
        for c in [command, *found]
        for p in c.get_params(context)
        for opt in (*p.opts, *p.secondary_opts)
        if opt[0] == "-"
    }
    rows = re.findall(r"^\| (`-.*?) \|", text, re.MULTILINE)
    assert set(re.findall(r"`(-[\w-]+)", " ".join(rows))) == options


def test_the_page_of_the_command_line_has_every_exit_code():
    text = (DOCS / "cli.md").read_text("utf-8")
    used = {0, 129, 130, 143} | {cls.exit_code for cls in error_classes(LlmspellError)}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)} == used


def test_the_page_of_the_architecture_shows_the_floors():
    section = (DOCS / "architecture.md").read_text("utf-8").partition("## Floors")[2]
    shown: dict[str, list[str]] = {}
    number = ""
    for line in section.split("```")[1].splitlines()[1:]:
        number = line[:3].strip() or number  # without one, the line belongs to the floor above
        shown.setdefault(number, []).extend(line[3:].split(" · "))
    floors = runpy.run_path(str(ROOT / "tests" / "test_floors.py"))["FLOORS"]
    names: dict[str, list[str]] = {}
    for module, floor in sorted(floors.items(), key=lambda entry: (-entry[1], entry[0])):
        names.setdefault(str(floor), []).append(module.removeprefix("llmspell."))
    assert list(shown.items()) == list(names.items())
