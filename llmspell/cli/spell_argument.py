"""The spell that a word of the command line stands for."""

from __future__ import annotations

import asyncio
import sys

from llmspell.cli.commands import COMMANDS
from llmspell.cli.error_report import Misuse
from llmspell.config import find_project
from llmspell.errors import SpellNotFound
from llmspell.spell import Spell, parse_spell
from llmspell.spell_download import fetch_spell, is_address
from llmspell.spell_lookup import find_spell


def spell_of(name: str) -> Spell:
    """That of a path, a name, an address, or `-` for standard input.

    Raises:
        SpellNotFound: With what to do.
        ConfigError: When its front matter is wrong.
    """
    if name == "-":
        return parse_spell(sys.stdin.buffer.read(), name="stdin", file="stdin")
    if is_address(name):
        return asyncio.run(fetch_spell(name))
    try:
        return find_spell(name, find_project())
    except SpellNotFound as error:
        if name in COMMANDS:
            hint = f"options go after the command: llmspell {name} …"
            raise Misuse(error.message, hint=hint) from error
        raise
