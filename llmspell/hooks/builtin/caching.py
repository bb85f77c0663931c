from __future__ import annotations

from collections.abc import Sequence

from llmspell.hooks.effect_hook import EffectHook
from llmspell.hooks.hook_call import HookCall
from llmspell.hooks.results import Cache, HookResult
from llmspell.limits import Seconds
from llmspell.permissions import Permissions
from llmspell.values import in_order


class Caching(EffectHook):
    """Caches results: an effect with the same arguments as before is answered from the cache."""

    priority = 10  # so that hooks of lower priority do not limit, change or count cached answers

    def __init__(
        self,
        *,
        effects: Sequence[str] = ("model.request",),
        only: Sequence[str] = (),
        ttl: Seconds | None = None,
        shared: bool = False,
    ) -> None:
        """Configure the hook.

        Args:
            effects: Names of the effects it applies to; `*` matches any part.
            only: Names of the tools and models it applies to, with `*`; by default all.
            ttl: Seconds until a result expires; by default it stays until newer ones displace it.
            shared: Share results between all runs that have the same permissions, rather than cache
                them per run. Not for tools that spells define: two spells may use one name for two
                tools.
        """
        if ttl is not None and not ttl > 0:
            raise ValueError(f"ttl must be a number of seconds above 0, not {ttl!r}")
        super().__init__(effects=effects, only=only)
        self.ttl, self.shared = ttl, shared

    def before(self, call: HookCall) -> HookResult:
        run = call.effect.run
        whose = run[Permissions].extent if self.shared else run.id
        return Cache(repr((whose, in_order(call.effect.args))), self.ttl)
