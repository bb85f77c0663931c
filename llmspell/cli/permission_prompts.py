"""Prompts on the terminal for permissions that are not granted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager

from llmspell.console import Console
from llmspell.permissions import Reply, in_words, printable
from llmspell.permissions.policy import PermissionRequest

_LONGEST = 300
_FEW = 20  # lines that are on the screen together with the question
PLAIN = "\x1b[0m"  # a spell may have printed codes that hide or colour the following text

_REPLIES: dict[str, Reply] = {"y": "once", "r": "run", "a": "always", "n": "no"}
_WORDS: dict[Reply, str] = {"once": "once", "run": "for this run", "always": "always", "no": "no"}


class PermissionPrompts:
    """Asks one question at a time on stderr; other output waits meanwhile."""

    def __init__(self, console: Console, pause: Callable[[], AbstractContextManager[None]]) -> None:
        """Use a console whose input is a terminal; `pause` suspends other output there."""
        self._console, self._pause = console, pause
        self._held: list[Callable[[], None]] | None = None
        self._one = asyncio.Lock()

    async def __call__(self, question: PermissionRequest) -> Reply:
        replies = _replies_to(question)
        text = f"{PLAIN}{_told(question)}"
        async with self.alone():
            while (answer := await self._ask(text, replies)) is not None:
                if reply := _chosen(answer, replies):
                    return reply
                text = ""
        return "no"

    def after(self, write: Callable[[], None]) -> None:
        """Write now, or after the question on the screen has been answered."""
        if self._held is None:
            write()
        else:
            self._held.append(write)

    async def _ask(self, text: str, replies: dict[str, Reply]) -> str | None:
        choices = ", ".join(f"{letter} = {_WORDS[reply]}" for letter, reply in replies.items())
        return await self._console.read_answer(f"{text}{choices}: ")

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Hold the terminal exclusively; output from others is delayed until afterwards."""
        async with self._one:
            held: list[Callable[[], None]] = []
            self._held = held
            try:
                with self._pause():
                    yield
            finally:
                self._held = None
                for write in held:
                    write()


def _replies_to(question: PermissionRequest) -> dict[str, Reply]:
    """Return the possible replies by the letter to type."""
    replies = dict(_REPLIES)
    if question.by is None:
        replies["y"] = "run"
        del replies["r"]
    if not question.lasting:
        del replies["a"]
    return replies


def _chosen(typed: str, replies: dict[str, Reply]) -> Reply | None:
    """Return the reply that a line stands for, by its letter or in words, or None."""
    words = {word: reply for reply in replies.values() for word in (reply, _WORDS[reply])}
    return ({"yes": replies["y"]} | words | replies).get(typed.strip().lower())


def _told(question: PermissionRequest) -> str:
    spell = printable(question.spell)
    wanted = [_shortened(text) for text in in_words(question.wanted)]
    if question.by is not None:
        return f"{spell}: {question.by} wants to {' and '.join(wanted)}\nAllow it? "
    lines = "\n  ".join([f"{spell} asks to", *wanted])
    return f"{lines}\nAllow {'it' if len(wanted) <= _FEW else f'all {len(wanted):,}'}? "


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 100]} … {text[-100:]}"
