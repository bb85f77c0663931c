from __future__ import annotations

from typing import Any

from llmspell.bridge import Bridge
from llmspell.effects import Effect
from llmspell.permissions import Kind
from llmspell.testing.lua_file_run import FileRun
from llmspell.testing.lua_spell_run import outcome, run_from_lua
from llmspell.values import Value, as_text


def bridge_to(file: FileRun) -> Bridge:
    """Return the bridge for one test file."""
    bridge = Bridge("test", __file__)

    @bridge.effect()
    def wanted(name: str | bytes) -> bool:
        """Whether the test of that name is selected."""
        return file.wants(as_text(name))

    @bridge.effect()
    def begin(name: str | bytes, skip: bool = False) -> bool:
        """Begin a test; returns whether to run it."""
        return file.begin(as_text(name), skip=skip)

    @bridge.effect()
    async def deadline() -> float:
        """Wait for the timeout of a test; returns its seconds."""
        return await file.deadline()

    @bridge.effect()
    def finish(name: str | bytes, error: dict[str, str | bytes] | None = None) -> None:
        """Record the end of a test, and its error if it failed."""
        failure = None if error is None else {key: as_text(text) for key, text in error.items()}
        file.finish(as_text(name), failure)

    @bridge.effect()
    def folder(effect: Effect, files: dict[str, str]) -> str:
        """Create a folder with these files, which tests may grant to spells."""
        return file.folder(effect, files)

    @bridge.effect(leaf=False)
    async def run(
        effect: Effect,
        spell: str,
        params: dict[str, Value] | None = None,
        arguments: list[str] | None = None,
        script: Value = None,
        tools: dict[str, Value] | None = None,
        state: dict[str, Value] | None = None,
        scopes: dict[str, dict[str, Value]] | None = None,
        grants: dict[Kind, list[str]] | None = None,
        limits: dict[str, str | float] | None = None,
        faults: dict[str, Value] | None = None,
        answers: Value = None,
        lines: list[str] | None = None,
        approved: list[str] | None = None,
        recorded: str | None = None,
        catch: bool = False,
    ) -> dict[str, Value]:
        """Run a spell, and return everything about its run."""
        options: dict[str, Any] = {
            "params": params,
            "arguments": arguments,
            "script": script,
            "tools": tools,
            "state": state,
            "scopes": scopes,
            "grants": grants,
            "limits": limits,
            "faults": faults,
            "answers": answers,
            "lines": lines,
            "approved": approved,
            "recorded": recorded,
        }
        return outcome(await run_from_lua(effect, file, spell, options, catch=catch))

    return bridge
