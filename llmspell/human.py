"""What a person is asked: questions of a spell, and whether an effect may be done."""

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

    @property
    def summary(self) -> str:
        return self.text


class Approval(Frozen):
    """What is only done if a person approves of it.

    Attributes:
        spell: How the spell's file is shown.
        what: The effect and whom it is about: `tool.call:send_mail`.
        args: What it is to be done with.
    """

    spell: str
    what: str
    args: dict[str, Value]

    @property
    def summary(self) -> str:
        return f"approval of {self.what}"


class Decision(Frozen):
    """What a person decided.

    Attributes:
        args: What it is to be done with instead; None when nothing was changed.
        reason: Why, for the spell and the model.
    """

    approved: bool
    args: dict[str, Value] | None = None
    reason: str = ""

    def as_plain(self) -> dict[str, Value]:
        """What `human.approve` answers: {approved, args, reason}."""
        plain: dict[str, Value] = {"approved": self.approved}
        if self.args is not None:
            plain["args"] = self.args
        if self.reason:
            plain["reason"] = self.reason
        return plain


class Person(Protocol):
    """Somebody who is there to be asked."""

    async def answer(self, question: Question) -> str | None:
        """The answer, one of the choices if there are some; None when there is none."""
        ...

    async def decide(self, approval: Approval) -> Decision: ...


class Human:
    """Whom the effects of a run ask.

    Attributes:
        spell: How the spell's file is shown.
        person: Who is there, if anybody is.
    """

    def __init__(self, spell: str, person: Person | None) -> None:
        self.spell, self.person = spell, person

    async def ask(self, effect: Effect, about: Question | Approval, seconds: float | None) -> Value:
        """What a person says, as a plain value; None when nobody does in time.

        Whoever is there is asked. Otherwise a run that is recorded waits, and stops when there is
        nothing else to do: `llmspell answer` and its like keep what is said for who resumes it.

        Raises:
            NobodyToAsk: Nobody is there, and the run is not recorded.
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
        why = f"{about.what} needs somebody's approval"
        hint = f"run it on a terminal, or approve beforehand: --approve={quote(about.what)}"
    return NobodyToAsk(f"{why}, and nobody is there", hint=hint)
