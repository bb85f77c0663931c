from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from llmspell.hooks.builtin.sensitive import SENSITIVE, Sensitive, redact
from llmspell.hooks.effect_hook import EffectHook
from llmspell.hooks.hook_call import HookCall
from llmspell.hooks.results import HookResult, Modify
from llmspell.values import Value

Kind = Literal["email", "phone", "card", "iban", "key"]


# Effects whose answer can be read piece by piece, which would be before `after` redacts it. Without
# their argument `stream` it is read as one piece, when it is complete.
_STREAMABLE = ("model.request", "agent.run")


class Redaction(EffectHook):
    """Replaces personal data and keys with `[redacted email]` and the like.

    It redacts the texts in arguments, after all other hooks, and in results and error messages,
    before them. Numbers, bytes and the keys of tables are not changed. Answers are not streamed. It
    is required: if it fails, so does the effect.
    """

    required = True
    innermost = True

    def __init__(
        self,
        *,
        effects: Sequence[str] = ("model.request",),
        only: Sequence[str] = (),
        kinds: Sequence[Kind] = get_args(Kind),
        patterns: Mapping[str, str] | None = None,
    ) -> None:
        """Configure the hook.

        Args:
            effects: Names of the effects it applies to; `*` matches any part.
            only: Names of the tools and models it applies to, with `*`; by default all.
            kinds: What to redact.
            patterns: Further kinds: their names and Python regular expressions.
        """
        super().__init__(effects=effects, only=only)
        if unknown := [kind for kind in kinds if kind not in SENSITIVE]:
            known = ", ".join(SENSITIVE)
            raise ValueError(f"{unknown[0]!r} is not a kind of text to redact: {known}")
        self._wanted: dict[str, Sensitive] = {kind: SENSITIVE[kind] for kind in kinds}
        for name, pattern in (patterns or {}).items():
            try:
                self._wanted[name] = Sensitive(re.compile(pattern))
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error.msg}") from error

    def before(self, call: HookCall) -> HookResult:
        args = call.effect.args
        clean = self.clean(args)
        if call.effect.name in _STREAMABLE and "stream" in args:
            clean = {name: value for name, value in clean.items() if name != "stream"}
        return None if clean is args else Modify(clean)

    def after(self, call: HookCall) -> HookResult:
        clean = self.clean(call.result)
        return None if clean is call.result else Modify(clean)

    def on_error(self, call: HookCall) -> HookResult:
        if (error := call.error) is not None:
            error.message, error.details = self.clean(error.message), self.clean(error.details)
            error.hint = self.clean(error.hint)
        return None

    def clean(self, value: Value) -> Value:
        """Return the redacted value, or the value itself if there is nothing to redact."""
        if isinstance(value, str):
            for name, sensitive in self._wanted.items():
                value = redact(value, sensitive, f"[redacted {name}]")
            return value
        if isinstance(value, dict):
            cleaned = {key: self.clean(inner) for key, inner in value.items()}
            return cleaned if any(cleaned[key] is not value[key] for key in value) else value
        if isinstance(value, list):
            items = [self.clean(inner) for inner in value]
            changed = any(new is not old for new, old in zip(items, value, strict=True))
            return items if changed else value
        return value
