"""A plugin for llmspell that knows what a team's words mean."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from llmspell import HookCall, Modify, Plugin, Runtime
from llmspell.bridge import Bridge
from llmspell.hooks import Hooks
from llmspell_glossary.bridge import glossary_bridge
from llmspell_glossary.glossary import Glossary


class GlossarySettings(BaseModel):
    """`settings` of `[[plugins]]` with `name = "glossary"`."""

    terms: dict[str, str] = Field(min_length=1, description="Each term with what it means.")
    spell_out: bool = Field(
        False, description="Write terms out where they stand in tools' results."
    )
    report: Path | None = Field(None, description="Where to write how often each was looked up.")


class GlossaryPlugin(Plugin):
    """Words of a team: the global Glossary for spells, the tool look_up for agents."""

    name = "glossary"
    settings_model = GlossarySettings
    settings: GlossarySettings

    async def on_startup(self, runtime: Runtime) -> None:
        self.glossary = Glossary(self.settings.terms)
        self.report = self.settings.report and runtime.project.root / self.settings.report
        if self.report and self.report.exists():
            self.glossary.asked = Counter(json.loads(self.report.read_text()))

    async def on_shutdown(self) -> None:
        if self.report:
            self.report.write_text(json.dumps(self.glossary.asked, indent=2, sort_keys=True))

    def tools(self) -> Iterable[Callable[..., Any]]:
        def look_up(term: str) -> str:
            """What one of the team's words means.

            Args:
                term: The word, such as "DRI".
            """
            return self.glossary.meaning(term)

        return [look_up]

    def bridges(self) -> Iterable[Bridge]:
        return [glossary_bridge(self.glossary)]

    def hooks(self, hooks: Hooks) -> None:
        if self.settings.spell_out:
            hooks.register("after:tool.call", self.spell_out)

    def spell_out(self, call: HookCall) -> Modify | None:
        if isinstance(call.result, str) and call.effect.args["name"] != "look_up":
            return Modify(self.glossary.spelled_out(call.result))
        return None
