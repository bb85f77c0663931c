"""The test kit for spells, tools and providers. Ordinary runs import nothing from it.

    from llmspell.testing import FakeServer, ToolCall, run_spell

    async def test_the_panel():
        run = await run_spell("panel.lua", script=["Tea.", "Coffee.", "Tea is better."])
        assert run.printed == ["Tea is better."]
        assert "Coffee." in run.requests[2].messages[0].text

Pytest fixtures are in `llmspell.testing.pytest_plugin`, which pytest loads automatically.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmspell.human import Decision
    from llmspell.providers.messages import Message, ModelResponse, ToolCall, Usage
    from llmspell.providers.scripted import ScriptedProvider
    from llmspell.testing.crashes import crash_matrix
    from llmspell.testing.effect_recorder import Fault
    from llmspell.testing.fakes import FAULTS, Answer, FakeServer
    from llmspell.testing.lua_files import run_tests
    from llmspell.testing.recorded_run import recorded
    from llmspell.testing.spell_runs import SpellRun, run_spell, run_text, stage
    from llmspell.testing.virtual_time import VirtualTimeLoop

__all__ = [
    "FAULTS",
    "Answer",
    "Decision",
    "FakeServer",
    "Fault",
    "Message",
    "ModelResponse",
    "ScriptedProvider",
    "SpellRun",
    "ToolCall",
    "Usage",
    "VirtualTimeLoop",
    "crash_matrix",
    "recorded",
    "run_spell",
    "run_tests",
    "run_text",
    "stage",
]

_HOMES = {
    "FAULTS": "testing.fakes",
    "Answer": "testing.fakes",
    "Decision": "human",
    "FakeServer": "testing.fakes",
    "Fault": "testing.effect_recorder",
    "Message": "providers.messages",
    "ModelResponse": "providers.messages",
    "ScriptedProvider": "providers.scripted",
    "SpellRun": "testing.spell_runs",
    "ToolCall": "providers.messages",
    "Usage": "providers.messages",
    "VirtualTimeLoop": "testing.virtual_time",
    "crash_matrix": "testing.crashes",
    "recorded": "testing.recorded_run",
    "run_spell": "testing.spell_runs",
    "run_tests": "testing.lua_files",
    "run_text": "testing.spell_runs",
    "stage": "testing.spell_runs",
}


def __getattr__(name: str) -> Any:
    """Import names lazily, as every run of pytest loads the plugin in this package."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"llmspell.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
