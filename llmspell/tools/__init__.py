from llmspell.tools.registry import Tools
from llmspell.tools.tool import FunctionTool, Tool, tool

__all__ = ["FunctionTool", "Tool", "Tools", "tool"]
