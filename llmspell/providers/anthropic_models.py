"""Differences between Anthropic's models that affect a request.

Source: Anthropic's pages on thinking, effort and forced tool use, and `anthropic.types.model`. A
Claude model newer than this table is assumed to behave like the current ones.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Traits(NamedTuple):
    """What a model accepts.

    Attributes:
        sampling: Whether it accepts `temperature` and `top_p`.
        budget: Whether thinking is set by a token budget; others decide themselves, guided by an
            effort.
        shows: Whether it has to be asked to show its thinking.
        off: The `thinking` field that turns thinking off; None if it cannot be turned off.
        forced: Whether it can be forced to call a tool.
        binds: Whether the API rejects a thinking block once anything before it has changed.
        schema: Whether it supports structured output; others are made to call a tool instead.
    """

    sampling: bool = False
    budget: bool = False
    shows: bool = True
    off: dict[str, Any] | None = {"type": "disabled"}  # noqa: RUF012 - nobody changes it
    forced: bool = True
    binds: bool = False
    schema: bool = True


_CURRENT = Traits()
_COMPATIBLE = Traits(sampling=True, budget=True, schema=False)
_BUDGET = Traits(budget=True)
_FIRST_ADAPTIVE = Traits(shows=False)
_ALWAYS_THINKS = Traits(off=None)
_NEVER_FORCED = Traits(off=None, forced=False, binds=True)

# The first prefix that matches the model's name wins.
_BY_NAME: tuple[tuple[str, Traits], ...] = (
    ("claude-fable-5-", _NEVER_FORCED),
    ("claude-mythos-5-1", _NEVER_FORCED._replace(binds=False)),
    ("claude-mythos-5-", _NEVER_FORCED),
    ("claude-fable-", _ALWAYS_THINKS),
    ("claude-mythos-", _ALWAYS_THINKS),
    ("claude-opus-5-5", _NEVER_FORCED),
    ("claude-sonnet-5-5", _NEVER_FORCED._replace(off={"type": "between_tools"})),
    ("claude-haiku-5-5", _CURRENT._replace(binds=True)),
    ("claude-opus-4-6", _FIRST_ADAPTIVE),
    ("claude-sonnet-4-6", _FIRST_ADAPTIVE),
    ("claude-opus-4-7", _CURRENT),
    ("claude-opus-4-8", _CURRENT),
    ("claude-opus-4", _BUDGET),
    ("claude-sonnet-4", _BUDGET),
    ("claude-haiku-4", _BUDGET),
    ("claude-3", _BUDGET),
    ("claude-", _CURRENT),
)


def traits(model: str) -> Traits:
    """Return the traits of a model; its name may have a prefix, such as `anthropic/`."""
    at = model.find("claude-")
    name = model[at:]
    return next(
        (known_traits for prefix, known_traits in _BY_NAME if at >= 0 and name.startswith(prefix)),
        _COMPATIBLE,
    )
