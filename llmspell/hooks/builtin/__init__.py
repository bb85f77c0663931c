"""Hooks that are there to be used: `Runtime(hooks=[Retrying()])`, or `[[hooks]]` in the settings."""

from llmspell.hooks.builtin.caching import Caching
from llmspell.hooks.builtin.combining import parallel, sequential, voting
from llmspell.hooks.builtin.guard import Guard
from llmspell.hooks.builtin.redaction import Redaction
from llmspell.hooks.builtin.retrying import Retrying

__all__ = ["Caching", "Guard", "Redaction", "Retrying", "parallel", "sequential", "voting"]
