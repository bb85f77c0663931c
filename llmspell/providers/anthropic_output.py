"""By which way one of Anthropic's models is made to answer with data of a given shape."""

from __future__ import annotations

from typing import Literal

from llmspell.providers.anthropic_models import Traits
from llmspell.providers.anthropic_schema import held_to
from llmspell.providers.messages import ModelRequest

OUTPUT_TOOL = "give_output"

Way = Literal["schema", "tool", "words"]


def output_way(request: ModelRequest, takes: Traits) -> Way | None:
    """Held to the schema; made to call a tool whose arguments are the answer; or told in words.

    None when any text will do.
    """
    schema = request.output
    if schema is None:
        return None
    if takes.schema and held_to(schema):
        return "schema"
    free = all(tool.name != OUTPUT_TOOL for tool in request.tools)
    return "tool" if takes.forced and schema.get("type") == "object" and free else "words"
