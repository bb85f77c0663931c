from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from llmspell.errors import ToolError


class Glossary:
    """Terms and what they mean.

    Attributes:
        asked: How often each was looked up.
    """

    def __init__(self, terms: Mapping[str, str]) -> None:
        self.terms = dict(terms)
        self.asked: Counter[str] = Counter()

    def meaning(self, term: str) -> str:
        """What a term means. Raises ToolError when nobody has said."""
        if term not in self.terms:
            raise ToolError(f"no term {term!r}", hint=f"available: {', '.join(sorted(self.terms))}")
        self.asked[term] += 1
        return self.terms[term]

    def spelled_out(self, text: str) -> str:
        """The text with every term followed by what it means: "ask the DRI (who decides)"."""
        words = "|".join(re.escape(term) for term in self.terms)
        return re.sub(rf"\b({words})\b", lambda m: f"{m[1]} ({self.terms[m[1]]})", text)
