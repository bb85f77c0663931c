"""Ready-made hooks: use `Runtime(hooks=[Retrying()])`, or `[[hooks]]` in the settings."""

from llmspell.hooks.builtin.caching import Caching
from llmspell.hooks.builtin.combining import parallel, sequential, voting
from llmspell.hooks.builtin.costs import Costs
from llmspell.hooks.builtin.guard import Guard
from llmspell.hooks.builtin.logs import Debugging, Logging
from llmspell.hooks.builtin.redaction import Redaction
from llmspell.hooks.builtin.retrying import Retrying

__all__ = [
    "Caching",
    "Costs",
    "Debugging",
    "Guard",
    "Logging",
    "Redaction",
    "Retrying",
    "parallel",
    "sequential",
    "voting",
]
