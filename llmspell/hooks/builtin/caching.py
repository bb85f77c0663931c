from __future__ import annotations

from collections.abc import Sequence

from llmspell.hooks.effect_hook import EffectHook
from llmspell.hooks.registered_hook import HookCall
from llmspell.hooks.results import Cache, HookResult
from llmspell.limits import Seconds
from llmspell.permissions import Permissions
from llmspell.values import in_order


class Caching(EffectHook):
    """Answers an effect that was done before, with the same arguments, by what came of it."""

    priority = 10  # so that what is kept is not limited, changed or counted by those after it

    def __init__(
        self,
        *,
        effects: Sequence[str] = ("model.request",),
        only: Sequence[str] = (),
        ttl: Seconds | None = None,
        shared: bool = False,
    ) -> None:
        """Make one.

        Args:
            effects: Names of the effects it is for, with `*` for any part.
            only: Names of tools and models that it is for, with `*`; by default all.
            ttl: Seconds a result is kept; by default until newer ones crowd it out.
            shared: Keep results for all runs that have the same permissions, not each run for
                itself. Not for tools that spells define: two spells may mean two by one name.
        """
        if ttl is not None and not ttl > 0:
            raise ValueError(f"ttl is a number of seconds above 0, not {ttl!r}")
        super().__init__(effects=effects, only=only)
        self.ttl, self.shared = ttl, shared

    def before(self, call: HookCall) -> HookResult:
        run = call.effect.run
        whose = run[Permissions].extent if self.shared else run.id
        return Cache(repr((whose, in_order(call.effect.args))), self.ttl)
