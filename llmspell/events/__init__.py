"""An event bus: publishers and subscribers are decoupled by topics."""

from llmspell.events.bus import Events, Statistics
from llmspell.events.event import Event
from llmspell.events.subscriptions import Handler, Overflow, Stream, Subscription

__all__ = ["Event", "Events", "Handler", "Overflow", "Statistics", "Stream", "Subscription"]
