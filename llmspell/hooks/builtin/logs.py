from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from reprlib import Repr

from llmspell.effects import Effect
from llmspell.hooks.effect_hook import EffectHook
from llmspell.hooks.hook_call import HookCall
from llmspell.providers.redaction import redacted
from llmspell.values import Value

log = logging.getLogger("llmspell.effects")


class Logging(EffectHook):
    """Logs each effect when it has ended, with its duration or its error.

    Arguments and results are not logged, since they may contain secrets; `Debugging` logs them. It
    does not see effects that another hook halts or skips; the middleware with the same name does.
    """

    outermost = True
    values = False

    def __init__(
        self,
        *,
        effects: Sequence[str] = ("*",),
        only: Sequence[str] = (),
        level: int = logging.INFO,
    ) -> None:
        """Configure the hook.

        Args:
            effects: Names of the effects it applies to; `*` matches any part.
            only: Names of the tools and models it applies to, with `*`; by default all.
            level: The log level of successful effects; failures are warnings.
        """
        super().__init__(effects=effects, only=only)
        self.level = level

    def before(self, call: HookCall) -> None:
        call.notes[self] = time.perf_counter()

    def after(self, call: HookCall) -> None:
        took = f"took {since(call.notes[self])}"
        tell(self.level, call.effect, took + self._shown(call.effect.args, call.result))

    def on_error(self, call: HookCall) -> None:
        error = call.error
        if error is not None:
            failed = f"failed after {since(call.notes[self])} with {error.code}: {error}"
            tell(logging.WARNING, call.effect, failed + self._shown(call.effect.args))

    def _shown(self, *values: Value) -> str:
        return shown(*values) if self.values else ""


class Debugging(Logging):
    """Logs each effect with its arguments and its result or error.

    Long texts and large tables are shortened, and anything that looks like a key is redacted. The
    options are those of `Logging`.
    """

    values = True


_EXCERPT = Repr()
_EXCERPT.maxstring = _EXCERPT.maxother = 200
_EXCERPT.maxdict = _EXCERPT.maxlist = 20


def shown(*values: Value) -> str:
    """Format values for a line of the log."""
    return f": {' -> '.join(redacted(_EXCERPT.repr(value), ()) for value in values)}"


def tell(level: int, effect: Effect, what: str) -> None:
    """Log a message about an effect."""
    log.log(level, "run %s %s %s %s", effect.run.id, effect.path, effect.name, what)


def since(begin: float) -> str:
    """Format the time since `begin`, a value of `time.perf_counter()`."""
    return f"{(time.perf_counter() - begin) * 1000:.1f} ms"
