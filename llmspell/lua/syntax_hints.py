"""Hints on code that does not compile, mostly on what other languages and versions of Lua allow."""

from __future__ import annotations

import re

# By what the compiler says; the first that fits counts.
_HINTS = {
    "assign to const variable": (
        "use another variable; since Lua 5.5, that of a for loop is constant, as if it were <const>"
    ),
    "stack overflow": "some of the code is nested too deeply",
    "near '!'": "in Lua, not equal is ~=, and negation is the word not",
    "near '[&|]'": "in Lua, the logical operators are the words and, or, not",
    "'(then|do)' expected near '='": "in Lua, equality is ==",
    "syntax error near '[-+*/]'": "Lua has no += and no ++; write x = x + 1",
    "unexpected symbol near '//?'": "in Lua, a comment begins with --",
    r"near '\?'": "Lua has no ? and :; write condition and a or b",
    r"unexpected symbol near '\['": "in Lua, a list is written {1, 2}, and a long string [[text]]",
    "unexpected symbol near '{'": "in Lua, a block has no braces; it ends with the word end",
    "'}' expected near ':'": "in Lua, a table is written {key = value}",
    "near '`'": "in Lua, a string that spans lines is written [[text]]",
}


def syntax_hint(message: str) -> str | None:
    """Return a hint for a message of Lua's compiler, if there is one."""
    return next((hint for said, hint in _HINTS.items() if re.search(said, message)), None)
