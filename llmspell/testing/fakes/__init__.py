"""Fake model servers with scripted answers, for tests.

One `FakeServer` speaks all protocols: OpenAI's chat completions and Responses, Anthropic's Messages
and Google's Gemini, streamed or not. It is reached by an httpx2 transport or as a real server on
this machine. Its script consists of answers, failures and faults.
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
