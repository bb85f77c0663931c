from __future__ import annotations

from llmspell.bridge import Bridge
from llmspell_glossary.glossary import Glossary


def glossary_bridge(glossary: Glossary) -> Bridge:
    """The effects of a glossary. Their Lua is `glossary.lua` beside this file."""
    bridge = Bridge("glossary", __file__)

    @bridge.effect()
    def meaning(term: str) -> str:
        return glossary.meaning(term)

    @bridge.effect()
    def terms() -> list[str]:
        return sorted(glossary.terms)

    return bridge
