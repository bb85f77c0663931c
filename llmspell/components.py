"""Assembles the components of a runtime: built-in, installed, configured and passed in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llmspell.bridge import Bridge, Bridges
from llmspell.config import Project
from llmspell.errors import PluginError
from llmspell.hooks import Hook, Hooks
from llmspell.importing import installed, named_in
from llmspell.middleware import Middleware, arrange
from llmspell.middleware.function import MiddlewareFunction
from llmspell.tools.loading import load_module
from llmspell.tools.registry import Tools
from llmspell.tools.tool import FunctionTool, Tool


def all_tools(project: Project, given: Iterable[Tool | Any]) -> Tools:
    """Return a registry of all tools; typed functions in `given` become tools.

    Raises:
        PluginError: A tool cannot be loaded, or two have the same name and version.
    """
    tools = Tools.with_builtin_tools().with_category_index()
    offered = _offered("llmspell.tools", Tool, "tool")
    for module in project.settings.tools.modules:
        with named_in(str(project.file), "tools.modules"):
            offered += load_module(module)
    offered += [_as_tool(entry) for entry in given]
    for tool in offered:
        try:
            tools.add(tool)
        except ValueError as error:
            hint = "name it, or give it a version of its own: @tool(name=…, version=…)"
            raise PluginError(str(error), hint=hint) from error
    return tools


def _as_tool(given: Any) -> Tool:
    if isinstance(given, Tool):
        return given
    if not callable(given) or isinstance(given, type) or not hasattr(given, "__name__"):
        hint = "pass typed functions, or what @tool makes of them"
        raise PluginError(f"{given!r} is not a tool, nor a function to make one from", hint=hint)
    return FunctionTool(given)


def all_bridges(given: Iterable[Bridge]) -> Bridges:
    """Return the built-in bridges, those of installed packages, and `given`. Raises PluginError."""
    return Bridges([*_offered("llmspell.bridges", Bridge, "bridge"), *given])


def _offered(group: str, kind: Any, what: str) -> list[Any]:
    """Load what installed packages offer in an entry-point group. Raises PluginError."""
    offered = []
    for offer in installed(group):
        one = offer.load(what=f"the {what} {offer.name!r}")
        if not isinstance(one, kind):
            hint = f"fix or uninstall {offer.package}, which provides it"
            raise PluginError(f"{offer.reference} is not a {what}", hint=hint)
        offered.append(one)
    return offered


def all_hooks(project: Project, given: Iterable[Hook]) -> Hooks:
    """Return a registry of the hooks that the project configures, and of `given`."""
    hooks = Hooks()
    for hook in [*_configured_hooks(project), *given]:
        hooks.add(hook)
    return hooks


def all_middleware(
    project: Project, given: Iterable[Middleware | MiddlewareFunction]
) -> tuple[Middleware, ...]:
    """Return the middleware of a runtime, outermost first. Raises ConfigError."""
    configured = arrange(_configured_middleware(project), source=str(project.file))
    return arrange(given, configured)


def _configured_hooks(project: Project) -> list[Hook]:
    if not project.settings.hooks:
        return []
    from llmspell.hooks.configured import configured

    return configured(project.settings.hooks, str(project.file))


def _configured_middleware(project: Project) -> list[Middleware]:
    if not project.settings.middleware:
        return []
    from llmspell.middleware.configured import configured

    return configured(project.settings.middleware, str(project.file))
