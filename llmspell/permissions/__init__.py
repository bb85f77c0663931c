"""What a run may touch: grants, how a need is judged by them, and what it is called."""

from llmspell.permissions.grants import EVERYTHING, KINDS, NOTHING, Grants, Kind, Need, targets_in
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
    "targets_in",
]
