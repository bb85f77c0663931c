"""Approvals: which effects a person has to approve, and how to request that."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from llmspell.effects import Effect
from llmspell.errors import ConfigError, NotApproved, UnknownEffect
from llmspell.registry import plain_name
from llmspell.values import Value

if TYPE_CHECKING:
    from llmspell.bridge import Bridges
    from llmspell.journal.records import RecordedEffect

_TOOL_CALL = "tool.call"
_MODEL_REQUEST = "model.request"
# In this order: a spell names the one that it runs, and may name it anything besides.
_SUBJECTS = ("spell", "name", "model", "key", "topic", "agent")


class Approvals:
    """The approval rules of one run.

    A rule is an effect's name, with `*` as a wildcard, and optionally its subject:
    `tool.call:send_mail`, `state.delete:drafts.*`, `spell.run`.

    Attributes:
        wanted: Rules for the effects that need approval.
        given: Rules for the effects approved in advance.
    """

    def __init__(self, wanted: Iterable[str] = (), given: Iterable[str] = ()) -> None:
        self.wanted, self.given = tuple(wanted), tuple(given)

    def also(self, wanted: Iterable[str]) -> Approvals:
        """Return these rules with more effects that need approval."""
        return Approvals([*self.wanted, *wanted], self.given)

    def about(self, name: str) -> bool:
        """Whether any effect of that name may need approval; `human.*` effects never do."""
        effects = [rule.partition(":")[0] for rule in self.wanted]
        return any(fnmatchcase(name, e) for e in effects) and not name.startswith("human.")

    def needed(self, what: str) -> bool:
        return any(matches(what, rule) for rule in self.wanted)

    def is_given(self, what: str) -> bool:
        return any(matches(what, rule) for rule in self.given)


def check_rules(
    rules: Iterable[str], bridges: Bridges, source: str, key: str = "approve.effects"
) -> None:
    """Check that rules may match an effect.

    Raises:
        ConfigError: One cannot; `source` and `key` say where it is.
    """
    for rule in rules:
        name, _, subject = rule.partition(":")
        hint: str | None
        try:
            bridges.check_pattern(name)
        except UnknownEffect as error:
            problem, hint = error.message, error.hint
        else:
            if not (fnmatchcase(_TOOL_CALL, name) and plain_name(subject) != subject):
                continue
            problem, hint = (
                "a rule names no version",
                f"write {name}:{plain_name(subject)}, for all versions",
            )
        raise ConfigError(source, [f"{key}: {rule}: {problem}"], hint=hint)


def what_is(effect: Effect | RecordedEffect) -> str:
    """Return the effect with its subject, in the form of the rules: `tool.call:send_mail`.

    The rules for a tool hold for all its versions.
    """
    named = (effect.args.get(key) for key in _SUBJECTS)
    subject = next((value for value in named if isinstance(value, str)), None)
    if subject is None:
        return effect.name
    return f"{effect.name}:{plain_name(subject) if effect.name == _TOOL_CALL else subject}"


def to_approve(effect: Effect, approvals: Approvals) -> str | None:
    """Return what about a checked effect needs approval, or None.

    A request names several models if fields of its provider's protocol do: any of them may answer.
    """
    every = [what_is(effect)]
    if effect.name == _MODEL_REQUEST:
        from llmspell.spending.estimate import models_of

        every += [f"{effect.name}:{model}" for model in models_of(effect.bound["wanted"])[1:]]
    needed = [what for what in every if approvals.needed(what)]
    return next((what for what in needed if not approvals.is_given(what)), next(iter(needed), None))


async def approve(
    effect: Effect, what: str, args: dict[str, Value], *, beside: bool = False
) -> dict[str, Value]:
    """Have a person approve something on behalf of an effect, and return the approved arguments.

    The request is an effect, `human.approve`, so a replay uses the recorded decision.

    Args:
        effect: The effect that needs the approval.
        what: The effect or action to approve: `tool.call:send_mail`.
        args: Its arguments, which the person may change.
        beside: Whether the effect itself is what waits. It may be a leaf, which is recorded as a
            whole, so the request gets a path beside it.

    Raises:
        NotApproved: The person refused.
        NobodyToAsk: Nobody is available.
    """
    asked: dict[str, Value] = {"what": what, "args": args}
    if beside:
        asking = effect.related("human.approve", asked, effect.path_beside("approval"))
    else:
        asking = effect.child("human.approve", asked)
    decision = await effect.run.perform(asking)
    assert isinstance(decision, dict)  # noqa: S101 - its handler returns one
    if decision["approved"]:
        changed = decision.get("args", args)
        return changed if isinstance(changed, dict) else args
    reason = decision.get("reason")
    raise NotApproved(what, reason if isinstance(reason, str) else "")


def matches(what: str, rule: str) -> bool:
    """Whether a rule matches an effect with its subject."""
    name, _, subject = what.partition(":")
    effect, _, about = rule.partition(":")
    return fnmatchcase(name, effect) and (not about or fnmatchcase(subject, about))
