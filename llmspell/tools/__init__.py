from llmspell.tools.tool import FunctionTool, Tool, tool

__all__ = ["FunctionTool", "Tool", "tool"]
