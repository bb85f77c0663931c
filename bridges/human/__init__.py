from __future__ import annotations

from llmspell.approvals import Approvals
from llmspell.bridge import Bridge
from llmspell.effects import Effect
from llmspell.errors import EffectTimeout, InvalidArguments, NobodyToAsk
from llmspell.human import Approval, Decision, Human, Question
from llmspell.limits import Seconds
from llmspell.values import Value

bridge = Bridge("human", __file__)


@bridge.effect(repeatable=True)
async def ask(
    effect: Effect,
    question: str,
    choices: list[str] | None = None,
    default: str | None = None,
    timeout: Seconds | None = None,  # noqa: ASYNC109 - it returns the default
) -> str:
    """Ask a person a question, and return the answer."""
    if choices and default is not None and default not in choices:
        raise InvalidArguments("Human.ask", [f"default: {default!r} is not one of the choices"])
    human = effect.run[Human]
    about = Question(human.spell, question, tuple(choices or ()), default)
    answer = await human.ask(effect, about, timeout)
    if isinstance(answer, str):
        return answer
    if default is not None:
        return default
    if timeout is None:
        raise NobodyToAsk("the question was not answered")
    raise EffectTimeout(f"nobody answered within {timeout:g} seconds", seconds=timeout)


@bridge.effect(repeatable=True)
async def approve(
    effect: Effect, what: str, args: dict[str, Value] | None = None
) -> dict[str, Value]:
    """Ask a person for approval: {approved, args, reason}; `args` only if they were changed."""
    if effect.run[Approvals].is_given(what):
        return Decision(approved=True).as_plain()
    human = effect.run[Human]
    decided = await human.ask(effect, Approval(human.spell, what, args or {}), None)
    return decided if isinstance(decided, dict) else Decision(approved=False).as_plain()
