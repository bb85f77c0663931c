from __future__ import annotations

from anyio import sleep

from llmspell.bridge import Bridge

bridge = Bridge("task", __file__)


@bridge.effect("sleep")
async def wait(seconds: float) -> None:
    """Wait. The global `Task` itself is part of the kernel."""
    await sleep(seconds)
