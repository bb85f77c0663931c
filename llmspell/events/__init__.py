"""Events: news on a bus, for whoever subscribed to topics of that kind."""

from llmspell.events.bus import Events, Statistics
from llmspell.events.event import Event
from llmspell.events.subscriptions import Handler, Overflow, Stream, Subscription

__all__ = ["Event", "Events", "Handler", "Overflow", "Statistics", "Stream", "Subscription"]
