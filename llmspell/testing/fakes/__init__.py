"""Servers that speak the protocols of models and say what a test tells them to.

One `FakeServer` speaks them all: OpenAI's chat completions and Responses, Anthropic's Messages
and Google's Gemini, whole and streamed. It is a transport of httpx2 or a real server on this
machine. What it says is a script of answers, failures and faults.
"""

from llmspell.testing.fakes.answers import Answer, Reasoning
from llmspell.testing.fakes.faults import (
    FAULTS,
    breaking_inside,
    cut_off,
    dropped,
    huge,
    invalid_sse,
    not_streamed,
    odd_sse,
    page,
    refused,
    slow,
    stalled,
    trickled,
    unknown_block,
    unknown_event,
)
from llmspell.testing.fakes.requests import Received
from llmspell.testing.fakes.server import FakeServer
from llmspell.testing.fakes.wire import Wire

__all__ = [
    "FAULTS",
    "Answer",
    "FakeServer",
    "Reasoning",
    "Received",
    "Wire",
    "breaking_inside",
    "cut_off",
    "dropped",
    "huge",
    "invalid_sse",
    "not_streamed",
    "odd_sse",
    "page",
    "refused",
    "slow",
    "stalled",
    "trickled",
    "unknown_block",
    "unknown_event",
]
