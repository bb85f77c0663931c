"""What a run may access: grants, checks of needs against them, and their wording for people."""

from llmspell.permissions.grants import (
    EVERYTHING,
    KINDS,
    NOTHING,
    Grants,
    Kind,
    Need,
    problems_in,
    targets_in,
)
from llmspell.permissions.run_permissions import Asker, Permissions, Reply
from llmspell.permissions.wording import flag, flags, in_words, printable

__all__ = [
    "EVERYTHING",
    "KINDS",
    "NOTHING",
    "Asker",
    "Grants",
    "Kind",
    "Need",
    "Permissions",
    "Reply",
    "flag",
    "flags",
    "in_words",
    "printable",
    "problems_in",
    "targets_in",
]
