"""Finds the spell that a command-line argument refers to."""

from __future__ import annotations

import asyncio
import sys

from llmspell.cli.commands import COMMANDS
from llmspell.cli.error_report import Misuse
from llmspell.config import find_project
from llmspell.errors import SpellNotFound
from llmspell.spell import Spell, parse_spell, read_source
from llmspell.spell_download import fetch_spell, is_address
from llmspell.spell_lookup import find_spell


def spell_of(name: str) -> Spell:
    """Return the spell of a path, a name, a URL, or `-` for standard input.

    Raises:
        SpellNotFound: There is none; the hint says what to do.
        ConfigError: Its front matter is invalid.
    """
    if name == "-":
        source = read_source(sys.stdin.buffer, "stdin")
        return parse_spell(source, name="stdin", file="stdin")
    if is_address(name):
        return asyncio.run(fetch_spell(name))
    try:
        return find_spell(name, find_project())
    except SpellNotFound as error:
        if name in COMMANDS:
            hint = f"options go after the command: llmspell {name} …"
            raise Misuse(error.message, hint=hint) from error
        raise
