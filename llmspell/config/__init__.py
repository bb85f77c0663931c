"""Projects and their settings."""

from llmspell.config.project import Project, find_project
from llmspell.config.settings import (
    ApproveSettings,
    HookSettings,
    MiddlewareSettings,
    PermissionSettings,
    PluginSettings,
    Settings,
    ToolSettings,
    python_files,
)

__all__ = [
    "ApproveSettings",
    "HookSettings",
    "MiddlewareSettings",
    "PermissionSettings",
    "PluginSettings",
    "Project",
    "Settings",
    "ToolSettings",
    "find_project",
    "python_files",
]
