from __future__ import annotations

from llmspell.bridge import Bridge
from llmspell.testing.snapshots import Snapshots


def bridge_to(snapshots: Snapshots) -> Bridge:
    """The bridge of one file of tests."""
    bridge = Bridge("expect", __file__)

    @bridge.effect()
    def snapshot(text: str, name: str | None = None) -> str | None:
        """Compare a text with the one that is kept; that one if they differ."""
        return snapshots.compare(text, name)

    return bridge
