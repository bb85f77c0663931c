"""Capabilities: tools, instructions and hooks that can be attached to an agent and detached."""

from llmspell.agents.capabilities.agent_capabilities import Capabilities
from llmspell.agents.capabilities.capability import Capability
from llmspell.agents.capabilities.registry import CapabilityTypes

__all__ = ["Capabilities", "Capability", "CapabilityTypes"]
