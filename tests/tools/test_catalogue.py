import importlib
import pkgutil
import subprocess
import sys

import pytest

from llmspell import tools
from llmspell.tools.catalogue import BUILTIN
from llmspell.tools.tool import FunctionTool


def load(reference):
    module, _, attribute = reference.partition(":")
    return getattr(importlib.import_module(module), attribute)


def test_every_tool_of_the_package_is_in_the_catalogue_and_no_other():
    found = {}
    for module in pkgutil.iter_modules(tools.__path__, "llmspell.tools."):
        for attribute, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, FunctionTool):
                found[value.name] = f"{module.name}:{attribute}"
    assert found == BUILTIN


@pytest.mark.parametrize("name", BUILTIN)
def test_every_tool_is_documented(name):
    tool = load(BUILTIN[name])
    assert tool.name == name
    assert tool.category != "user"
    assert tool.description.split("\n")[0]
    properties = tool.schema["properties"]
    assert list(properties) == [p.name for p in tool.signature.parameters]
    assert [n for n, field in properties.items() if not field.get("description")] == []


@pytest.mark.parametrize("name", BUILTIN)
def test_every_tool_says_what_it_touches(name):
    assert load(BUILTIN[name]).declares


# Lua 5.5's reference manual, section 3.1.
KEYWORDS = """
    and break do else elseif end false for function global goto if in local nil not or repeat
    return then true until while
"""


@pytest.mark.parametrize("name", BUILTIN)
def test_names_and_parameters_can_be_written_in_lua(name):
    assert not set(KEYWORDS.split()) & {name, *load(BUILTIN[name]).schema["properties"]}


def test_the_names_are_known_without_importing_the_tools():
    code = (
        "import sys, llmspell.tools.catalogue; "
        "assert 'pydantic' not in sys.modules and 'llmspell.tools.files' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
