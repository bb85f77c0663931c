"""Plugins: packages, or files of a project, that add to a runtime and live as long as it does."""

from llmspell.plugins.plugin import Plugin

__all__ = ["Plugin"]
