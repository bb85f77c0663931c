from __future__ import annotations

import os

from llmspell.bridge import Bridge
from llmspell.config import Project
from llmspell.effects import Effect
from llmspell.errors import PermissionDenied
from llmspell.permissions import Need
from llmspell.providers.catalogue import key_variables
from llmspell.values import text_or_bytes

bridge = Bridge("environment", __file__)

_BY = "os.getenv"


def _needs(effect: Effect) -> list[tuple[str, Need]]:
    """Require a grant for the variable. A provider's key is denied whatever is granted."""
    name = effect.bound["name"]
    if name in key_variables(effect.run[Project].settings.providers):
        raise PermissionDenied(
            f"{_BY} may not see the variable {name}: it contains a provider's key",
            hint="name the model; llmspell sends the key",
            details={"kind": "env", "target": name},
        )
    return [(_BY, Need("env", name))]


@bridge.effect(needs=_needs, repeatable=True)
def get(name: str) -> str | bytes | None:
    """The value of an environment variable: text, bytes if it is not UTF-8, or nil if unset."""
    value = os.environb.get(os.fsencode(name))
    return None if value is None else text_or_bytes(value)
