from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from llmspell.hooks.effect_hook import EffectHook
from llmspell.hooks.registered_hook import HookCall
from llmspell.hooks.results import Halt, HookResult
from llmspell.values import Value


class Guard(EffectHook):
    """Halts effects whose arguments hold a text that they must not.

    It judges the arguments as they will be used, after all other hooks. It is required: should it
    fail, so does the effect.
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
        """Make one.

        Args:
            deny: Regular expressions, in Python's form, looked for in all texts among the
                arguments, whether large or small letters.
            effects: Names of the effects it is for, with `*` for any part.
            only: Names of tools and models that it is for, with `*`; by default all.
        """
        super().__init__(effects=effects, only=only)
        try:
            self.deny = tuple(re.compile(pattern, re.IGNORECASE) for pattern in deny)
        except re.error as error:
            raise ValueError(f"{error.pattern!r} is no regular expression: {error.msg}") from error
        if not self.deny:
            raise ValueError("deny is empty")

    def before(self, call: HookCall) -> HookResult:
        for text in _texts(call.effect.args):
            for pattern in self.deny:
                if pattern.search(text):
                    return Halt(f"an argument matches {pattern.pattern!r}")
        return None


def _texts(value: Value) -> Iterator[str]:
    """Every text in a value, keys too."""
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
