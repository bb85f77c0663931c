from __future__ import annotations

from llmspell.bridge import Bridge
from llmspell.testing.snapshots import Snapshots
from llmspell.values import as_text


def bridge_to(snapshots: Snapshots) -> Bridge:
    """Return the bridge for one test file."""
    bridge = Bridge("expect", __file__)

    @bridge.effect()
    def snapshot(text: str | bytes, name: str | bytes | None = None) -> bytes | None:
        """Compare a text with the stored snapshot; returns the snapshot if they differ."""
        kept = snapshots.compare(_exactly(text), None if name is None else as_text(name))
        return None if kept is None else kept.encode("utf-8", "surrogateescape")

    return bridge


def _exactly(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode("utf-8", "surrogateescape")
