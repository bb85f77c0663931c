from __future__ import annotations

from llmspell.approvals import Approvals
from llmspell.bridge import Bridge
from llmspell.effects import Effect
from llmspell.errors import EffectTimeout, InvalidArguments, NobodyToAsk
from llmspell.human import Decision, Human
from llmspell.values import Value

bridge = Bridge("human", __file__)


@bridge.effect()
async def ask(
    effect: Effect,
    question: str,
    choices: list[str] | None = None,
    default: str | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 - after it the default counts
) -> str:
    """Ask a person; the answer."""
    from anyio import move_on_after

    if choices and default is not None and default not in choices:
        raise InvalidArguments("Human.ask", [f"default: {default!r} is none of the choices"])
    with move_on_after(timeout):
        answer = await effect.run[Human].answer(question, tuple(choices or ()), default)
        if answer is None and default is None:
            raise NobodyToAsk("the question was left without an answer")
        return default if answer is None else answer  # type: ignore[return-value]
    if default is None:
        seconds = timeout or 0.0
        raise EffectTimeout(f"nobody answered within {seconds:g} seconds", seconds=seconds)
    return default


@bridge.effect()
async def approve(
    effect: Effect, what: str, args: dict[str, Value] | None = None
) -> dict[str, Value]:
    """Have a person approve of something: {approved, args, reason}; `args` if they were changed."""
    if effect.run[Approvals].is_given(what):
        return _plain(Decision(approved=True))
    return _plain(await effect.run[Human].decide(what, args or {}))


def _plain(decision: Decision) -> dict[str, Value]:
    plain: dict[str, Value] = {"approved": decision.approved}
    if decision.args is not None:
        plain["args"] = decision.args
    if decision.reason:
        plain["reason"] = decision.reason
    return plain
