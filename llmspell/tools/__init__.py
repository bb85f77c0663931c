from llmspell.tools.tool import FunctionTool, Tool, Tools, tool

__all__ = ["FunctionTool", "Tool", "Tools", "tool"]
