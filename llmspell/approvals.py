"""Which effects a person has to approve of, and the way to get that."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from llmspell.effects import Effect
from llmspell.errors import NotApproved
from llmspell.values import Value

if TYPE_CHECKING:
    from llmspell.journal.reader import RecordedEffect

_SUBJECTS = ("name", "model", "key", "topic", "spell", "agent")


class Approvals:
    """The rules of one run.

    A rule is the name of an effect, with `*` for any part, and perhaps whom it is about:
    `tool.call:send_mail`, `state.delete:drafts.*`, `spell.run`.

    Attributes:
        wanted: Rules for what needs approval.
        given: Rules for what is approved of beforehand.
    """

    def __init__(self, wanted: Iterable[str] = (), given: Iterable[str] = ()) -> None:
        self.wanted, self.given = tuple(wanted), tuple(given)

    def also(self, wanted: Iterable[str]) -> Approvals:
        """The same rules, and more that needs approval."""
        return Approvals([*self.wanted, *wanted], self.given)

    def about(self, name: str) -> bool:
        """Whether some effect of that name may need approval; asking never does."""
        effects = [rule.partition(":")[0] for rule in self.wanted]
        return any(fnmatchcase(name, e) for e in effects) and not name.startswith("human.")

    def needed(self, what: str) -> bool:
        return any(matches(what, rule) for rule in self.wanted)

    def is_given(self, what: str) -> bool:
        return any(matches(what, rule) for rule in self.given)


def what_is(effect: Effect | RecordedEffect) -> str:
    """The effect and whom it is about, as rules name them."""
    named = (effect.args.get(key) for key in _SUBJECTS)
    subject = next((value for value in named if isinstance(value, str)), None)
    return effect.name if subject is None else f"{effect.name}:{subject}"


async def approve(
    effect: Effect, what: str, args: dict[str, Value], *, beside: bool = False
) -> dict[str, Value]:
    """Have a person approve of something on behalf of an effect; the arguments to do it with.

    It is asked by an effect, `human.approve`: on replay the recorded decision counts.

    Args:
        effect: The effect that cannot go on without.
        what: What is to be done: `tool.call:send_mail`.
        args: With what; whoever approves may change them.
        beside: Whether the effect itself is what waits. It may be a leaf, which is recorded as a
            whole, so the asking has a place beside it.

    Raises:
        NotApproved: The person refused.
        NobodyToAsk: Nobody is there.
    """
    asked: dict[str, Value] = {"what": what, "args": args}
    if beside:
        asking = effect.beside("human.approve", asked, effect.mark("approval"))
    else:
        asking = effect.child("human.approve", asked)
    decision = await effect.run.perform(asking)
    assert isinstance(decision, dict)  # noqa: S101 - the handler says so
    if decision["approved"]:
        changed = decision.get("args", args)
        return changed if isinstance(changed, dict) else args
    reason = decision.get("reason")
    raise NotApproved(what, reason if isinstance(reason, str) else "")


def matches(what: str, rule: str) -> bool:
    """Whether a rule names it."""
    name, _, subject = what.partition(":")
    effect, _, about = rule.partition(":")
    return fnmatchcase(name, effect) and (not about or fnmatchcase(subject, about))
