from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from reprlib import Repr

from llmspell.effects import Effect
from llmspell.hooks.effect_hook import EffectHook
from llmspell.hooks.registered_hook import HookCall
from llmspell.providers.redaction import redacted
from llmspell.values import Value

log = logging.getLogger("llmspell.effects")


class Logging(EffectHook):
    """Logs each effect once it has ended: what it was, how long it took, how it failed.

    Arguments and results are not logged: there may be secrets in them. `Debugging` does. What a
    hook halts or skips is not seen; the middleware of the same name sees that too.
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
        """Make one.

        Args:
            effects: Names of the effects it is for, with `*` for any part.
            only: Names of tools and models that it is for, with `*`; by default all.
            level: That of `logging` with which effects are logged; what failed is a warning.
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
    """Logs each effect with its arguments and its result, or how it failed.

    Long texts and large tables are cut short, and what looks like a key is blotted out. It is made
    as `Logging` is.
    """

    values = True


_EXCERPT = Repr()
_EXCERPT.maxstring = _EXCERPT.maxother = 200
_EXCERPT.maxdict = _EXCERPT.maxlist = 20


def shown(*values: Value) -> str:
    """Arguments and result, for a line of the log."""
    return f": {' -> '.join(redacted(_EXCERPT.repr(value), ()) for value in values)}"


def tell(level: int, effect: Effect, what: str) -> None:
    """Log something of an effect."""
    log.log(level, "run %s %s %s %s", effect.run.id, effect.path, effect.name, what)


def since(begin: float) -> str:
    """How long ago that was, by `time.perf_counter()`."""
    return f"{(time.perf_counter() - begin) * 1000:.1f} ms"
