"""What a person is asked: questions of a spell, and whether an effect may be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from llmspell.errors import NobodyToAsk
from llmspell.values import Value


@dataclass(frozen=True)
class Question:
    """What a spell wants to know.

    Attributes:
        spell: How the spell's file is shown.
        choices: What can be answered; anything when there are none.
        default: What an empty answer means, if it means something.
    """

    spell: str
    text: str
    choices: tuple[str, ...] = ()
    default: str | None = None


@dataclass(frozen=True)
class Approval:
    """What is only done if a person approves of it.

    Attributes:
        spell: How the spell's file is shown.
        what: The effect and whom it is about: `tool.call:send_mail`.
        args: What it is to be done with.
    """

    spell: str
    what: str
    args: dict[str, Value]


@dataclass(frozen=True)
class Decision:
    """What a person decided.

    Attributes:
        args: What it is to be done with instead; None when nothing was changed.
        reason: Why, for the spell and the model.
    """

    approved: bool
    args: dict[str, Value] | None = None
    reason: str = ""


class Person(Protocol):
    """Somebody who is there to be asked."""

    async def answer(self, question: Question) -> str | None:
        """The answer, one of the choices if there are some; None when there is none."""
        ...

    async def decide(self, approval: Approval) -> Decision: ...


class Human:
    """Whom the effects of a run ask."""

    def __init__(self, spell: str, person: Person | None) -> None:
        self._spell, self._person = spell, person

    async def answer(self, text: str, choices: tuple[str, ...], default: str | None) -> str | None:
        """Raises NobodyToAsk."""
        person = self._whoever(f"the spell asks: {text}")
        return await person.answer(Question(self._spell, text, choices, default))

    async def decide(self, what: str, args: dict[str, Value]) -> Decision:
        """Raises NobodyToAsk."""
        person = self._whoever(f"{what} needs somebody's approval", what)
        return await person.decide(Approval(self._spell, what, args))

    def _whoever(self, why: str, what: str | None = None) -> Person:
        if self._person is None:
            hint = "run it on a terminal" + (
                f", or approve beforehand: --approve={what}" if what else ""
            )
            raise NobodyToAsk(f"{why}, and nobody is there", hint=hint)
        return self._person
