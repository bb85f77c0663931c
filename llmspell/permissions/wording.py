"""Describes permissions for people, in words and as command-line options."""

from __future__ import annotations

from collections.abc import Iterable

from llmspell.permissions.grants import EVERYTHING, KINDS, Grants, Kind
from llmspell.permissions.hosts import EVERY_HOST
from llmspell.permissions.paths import program_place

_ONE: dict[Kind, str] = {
    "read": "read {}",
    "write": "write {}",
    "net": "reach {}",
    "run": "run {}",
    "env": "see the variable {}",
    "tool": "call the tool {}",
    "llm": "ask the model {}",
}
_EVERY: dict[Kind, str] = {
    "read": "read every file",
    "write": "write every file",
    "net": "reach every public host",
    "run": "run every program",
    "env": "see every environment variable",
    "tool": "call every tool",
    "llm": "ask every model",
}


def in_words(grants: Grants) -> list[str]:
    """Return a phrase for each target: "read /etc/hosts", "run git (/usr/bin/git)"."""
    return [
        _in_words(kind, target) for kind, targets in grants.as_lists().items() for target in targets
    ]


def what_is_done(kind: Kind, target: str) -> str:
    """Return a phrase such as "see the variable HOME", with control characters escaped."""
    return _ONE[kind].format(printable(target))


def _in_words(kind: Kind, target: str) -> str:
    if target == EVERYTHING:
        return _EVERY[kind]
    if (kind, target) == ("net", EVERY_HOST):
        return "reach every host, private ones too"
    place = program_place(target) if kind == "run" and "/" not in target else None
    return what_is_done(kind, target) + (f" ({printable(str(place))})" if place else "")


def printable(text: str) -> str:
    """Return the text with control characters and other invisible ones escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def flags(grants: Grants, *, verb: str = "allow") -> list[str]:
    """Return the options that grant it, quoted for a shell; `verb` may be "deny"."""
    return [flag(kind, t, verb=verb) for kind in KINDS if (t := grants[kind]) is not None]


def flag(kind: Kind, targets: Iterable[str] = (), *, verb: str = "allow") -> str:
    """Return the option for these targets, or for everything if there are none."""
    given = ",".join(_as_typed(kind, target) for target in targets)
    return f"--{verb}-{kind}={_quoted(given)}" if given else f"--{verb}-{kind}"


def _as_typed(kind: Kind, target: str) -> str:
    """Return a target as written in an option, where `,` separates and `*` and `~` are special."""
    path = kind in ("read", "write") or (kind == "run" and "/" in target)
    if path and (not target or target[0] in "*~"):
        target = f"./{target}"
    return target.replace(",", ",,")


def _quoted(text: str) -> str:
    from shlex import quote

    if text.isprintable():
        return quote(text)
    return f"$'{''.join(map(_in_ansi_c_quotes, text))}'"


def _in_ansi_c_quotes(character: str) -> str:
    if character.isprintable():
        return f"\\{character}" if character in "\\'" else character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))
