"""Requests to a person: questions of spells, and approvals of effects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from llmspell.clock import now
from llmspell.errors import NobodyToAsk
from llmspell.frozen import Frozen
from llmspell.journal.recording import Recording
from llmspell.values import Value

if TYPE_CHECKING:
    from llmspell.effects import Effect


class Question(Frozen):
    """A question that a spell asks.

    Attributes:
        spell: The display name of the spell's file.
        choices: The possible answers; any answer is allowed when empty.
        default: The meaning of an empty answer, if it has one.
    """

    spell: str
    text: str
    choices: tuple[str, ...] = ()
    default: str | None = None

    @property
    def summary(self) -> str:
        return self.text


class Approval(Frozen):
    """An effect that needs a person's approval.

    Attributes:
        spell: The display name of the spell's file.
        what: The effect and its subject: `tool.call:send_mail`.
        args: The effect's arguments.
    """

    spell: str
    what: str
    args: dict[str, Value]

    @property
    def summary(self) -> str:
        return f"approval of {self.what}"


class Decision(Frozen):
    """A person's decision about an approval.

    Attributes:
        args: The arguments to use instead; None when nothing was changed.
        reason: The reason, for the spell and the model.
    """

    approved: bool
    args: dict[str, Value] | None = None
    reason: str = ""

    def as_plain(self) -> dict[str, Value]:
        """Return the result of `human.approve`: {approved, args, reason}."""
        plain: dict[str, Value] = {"approved": self.approved}
        if self.args is not None:
            plain["args"] = self.args
        if self.reason:
            plain["reason"] = self.reason
        return plain


class Person(Protocol):
    """Someone who can answer questions and approve effects."""

    async def answer(self, question: Question) -> str | None:
        """Return the answer, one of the choices if there are some; None when there is no answer."""
        ...

    async def decide(self, approval: Approval) -> Decision: ...


class Human:
    """Where the effects of a run send their requests to a person.

    Attributes:
        spell: The display name of the spell's file.
        person: Who answers, if anyone does.
    """

    def __init__(self, spell: str, person: Person | None) -> None:
        self.spell, self.person = spell, person

    async def ask(self, effect: Effect, about: Question | Approval, seconds: float | None) -> Value:
        """Return a person's response as a plain value; None when there is none in time.

        Without a person, a recorded run waits, and is suspended when nothing else is left to do.
        `llmspell answer` and its like record the response for the process that resumes the run.

        Raises:
            NobodyToAsk: There is no person, and the run is not recorded.
        """
        recording = effect.run[Recording]
        begun = recording.taken_up(effect.path) if recording else None
        if begun and begun.answer is not None:
            return begun.answer
        due = begun.due if begun else None if seconds is None else now() + seconds
        if self.person is None:
            if not recording:
                raise _nobody(about)
            await recording.wait_for_person(effect.path, about.summary, due)
            return None
        from anyio import move_on_after

        with move_on_after(None if due is None else due - now()):
            if isinstance(about, Question):
                return await self.person.answer(about)
            return (await self.person.decide(about)).as_plain()
        return None


def _nobody(about: Question | Approval) -> NobodyToAsk:
    from shlex import quote

    if isinstance(about, Question):
        why, hint = f"the spell asks: {about.text}", "run it on a terminal"
    else:
        why = f"{about.what} needs a person's approval"
        hint = f"run it on a terminal, or approve it in advance: --approve={quote(about.what)}"
    return NobodyToAsk(f"{why}, and there is nobody to ask", hint=hint)
