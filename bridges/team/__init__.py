from __future__ import annotations

from llmspell.bridge import Bridge

bridge = Bridge("team", __file__)  # implemented in Lua only, with agents and tasks
