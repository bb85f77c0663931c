from __future__ import annotations

from llmspell.bridge import Bridge

bridge = Bridge("team", __file__)  # agents and tasks put together, in Lua alone
