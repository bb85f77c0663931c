from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from llmspell.hooks.effect_hook import EffectHook
from llmspell.hooks.hook_call import HookCall
from llmspell.hooks.results import Halt, HookResult
from llmspell.values import Value


class Guard(EffectHook):
    """Halts effects whose arguments contain a forbidden text.

    It checks the arguments as they will be used, after all other hooks. It is required: if it
    fails, so does the effect.
    """

    required = True
    innermost = True

    def __init__(
        self,
        deny: Sequence[str],
        *,
        effects: Sequence[str] = ("tool.call", "model.request"),
        only: Sequence[str] = (),
    ) -> None:
        """Configure the hook.

        Args:
            deny: Python regular expressions, searched for in all texts among the arguments,
                ignoring case.
            effects: Names of the effects it applies to; `*` matches any part.
            only: Names of the tools and models it applies to, with `*`; by default all.
        """
        super().__init__(effects=effects, only=only)
        try:
            patterns = (deny,) if isinstance(deny, str) else deny
            self.deny = tuple(re.compile(pattern, re.IGNORECASE) for pattern in patterns)
        except re.error as error:
            raise ValueError(
                f"{error.pattern!r} is not a regular expression: {error.msg}"
            ) from error
        if not self.deny:
            raise ValueError("deny is empty")

    def before(self, call: HookCall) -> HookResult:
        for text in _texts(call.effect.args):
            for pattern in self.deny:
                if pattern.search(text):
                    return Halt(f"an argument matches {pattern.pattern!r}")
        return None


def _texts(value: Value) -> Iterator[str]:
    """Yield every text in a value, including keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):
        yield value.decode("utf-8", "replace")
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(key)
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
