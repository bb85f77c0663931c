"""Prompts on the terminal for a spell's questions and for approvals."""

from __future__ import annotations

import json

from llmspell.cli.permission_prompts import PLAIN, PermissionPrompts
from llmspell.console import Console
from llmspell.human import Approval, Decision, Question
from llmspell.permissions import printable
from llmspell.values import Value, legible

_LONGEST = 2000  # characters shown of an argument
_WORDS = {"y": "yes", "n": "no", "e": "edit the arguments"}


class TerminalPerson:
    """The `Person` at a terminal."""

    def __init__(self, console: Console, questions: PermissionPrompts) -> None:
        self._console, self._questions = console, questions

    async def answer(self, question: Question) -> str | None:
        choices = [f"  {n}. {printable(c)}" for n, c in enumerate(question.choices, 1)]
        asked = f"{printable(question.spell)} asks: {_shown(question.text)}"
        prompt = "> " if question.default is None else f"[{printable(question.default)}] > "
        text = PLAIN + "\n".join([asked, *choices, prompt])
        async with self._questions.alone():
            while (typed := await self._console.read_answer(text)) is not None:
                if (answer := _chosen(typed, question)) is not None:
                    return answer
                text = prompt
        return None

    async def decide(self, approval: Approval) -> Decision:
        args = approval.args
        wants = f"{printable(approval.spell)} wants your approval of {printable(approval.what)}"
        async with self._questions.alone():
            text = f"{PLAIN}{wants}{shown_args(args)}\nApprove? "
            while (typed := await self._ask(text, _WORDS)) is not None:
                text = ""
                word = typed.strip().lower()
                if word in ("y", "yes"):
                    changed = None if args == approval.args else args
                    return Decision(approved=True, args=changed)
                if word in ("n", "no"):
                    why = await self._console.read_answer("Reason for the spell (may be empty): ")
                    return Decision(approved=False, reason=(why or "").strip())
                if word in ("e", "edit"):
                    args = await self._edited(args)
                    text = f"{wants}{shown_args(args)}\nApprove? "
        return Decision(approved=False)

    async def _ask(self, text: str, words: dict[str, str]) -> str | None:
        choices = ", ".join(f"{letter} = {word}" for letter, word in words.items())
        return await self._console.read_answer(f"{text}{choices}: ")

    async def _edited(self, args: dict[str, Value]) -> dict[str, Value]:
        """Return the arguments with changes the person types, one per line, until an empty line."""
        changed = dict(args)
        prompt = "  name = value (empty to finish): "
        while line := (await self._console.read_answer(prompt) or "").strip():
            name, equals, value = line.partition("=")
            if equals and name.strip():
                changed[name.strip()] = typed_value(value.strip())
        return changed


def typed_value(text: str) -> Value:
    """Parse an argument that a person typed: JSON if it is valid, else the text itself."""
    try:
        value: Value = json.loads(text)
    except ValueError:
        return text
    return value


def _chosen(typed: str, question: Question) -> str | None:
    """Return the answer that a line stands for, or None if it is not an answer."""
    typed = typed.strip()
    if not typed:
        return question.default
    if not question.choices:
        return typed
    if typed.isdecimal() and 0 < int(typed) <= len(question.choices):
        return question.choices[int(typed) - 1]
    return next((c for c in question.choices if c.lower() == typed.lower()), None)


def shown_args(args: dict[str, Value], *, margin: int = 2) -> str:
    """Return a line for each argument, each after a line break."""
    space = " " * margin
    lines = [f"\n{space}{printable(name)}: {_as_json(value)}" for name, value in args.items()]
    return "".join(lines)


def _as_json(value: Value) -> str:
    return _shown(json.dumps(legible(value), ensure_ascii=False))


def _shown(text: str) -> str:
    cut = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 200]} … {text[-200:]}"
    return "\n".join(printable(line) for line in cut.split("\n"))
