"""Inspecting values: Lua only, no effects."""

from llmspell.bridge import Bridge

bridge = Bridge("debug", __file__)
