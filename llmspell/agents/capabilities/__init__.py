"""Capabilities: what an agent is given, and can lose again, while it is there."""

from llmspell.agents.capabilities.agent_capabilities import Capabilities
from llmspell.agents.capabilities.capability import Capability
from llmspell.agents.capabilities.registry import CapabilityTypes

__all__ = ["Capabilities", "Capability", "CapabilityTypes"]
