"""Loads tools from Python files and modules."""

from __future__ import annotations

from llmspell.errors import PluginError
from llmspell.importing import load_object, load_python
from llmspell.tools.tool import Tool


def load_reference(reference: str) -> Tool:
    """Return the tool at `package.module:name`. Raises PluginError if there is none."""
    tool = load_object(reference, what="tools")
    if not isinstance(tool, Tool):
        raise PluginError(f"{reference} is not a tool", hint="decorate a function with @tool")
    return tool


def load_module(name: str) -> list[Tool]:
    """Return the tools of a Python file (`weather.py`) or module (`company.tools`), in order.

    Raises:
        PluginError: It cannot be imported, or does not define a tool.
    """
    module = load_python(name, what="tools")
    # dict.fromkeys, as a module may have two names for one tool.
    tools = list(dict.fromkeys(value for value in vars(module).values() if isinstance(value, Tool)))
    if not tools:
        raise PluginError(f"{name} does not define a tool", hint="decorate a function with @tool")
    return tools
