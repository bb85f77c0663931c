"""Plugins: packages, or files of a project, that extend a runtime for its lifetime."""

from llmspell.plugins.plugin import Plugin

__all__ = ["Plugin"]
