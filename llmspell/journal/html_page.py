"""Renders a recorded run as a self-contained HTML page with a waterfall of its effects."""

from __future__ import annotations

import html
import json
import time
from pathlib import Path
from string import Template
from typing import Any

from llmspell.journal.reader import Reader
from llmspell.journal.records import RecordedRun
from llmspell.journal.spans import Span, spans_of
from llmspell.journal.totals import Totals
from llmspell.values import Value, encodable, legible

_LONGEST = 20_000  # characters shown of an argument or a result


def page_of(reader: Reader, run: RecordedRun) -> str:
    """Return the page. It contains what the journal holds, including prompts and answers."""
    root = spans_of(reader, run)
    record = {
        "run": run.id,
        "spell": run.spell,
        "when": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.started)),
        "error": _error_line(run),
        "facts": Totals.of(reader, run).facts(run),
        "rows": [_row(depth, span, root.started) for depth, span in root.walk()],
    }
    # A "<" could close the script element that contains the record.
    text = encodable(json.dumps(record, ensure_ascii=False)).replace("<", "\\u003c")
    template = Template(Path(__file__).with_name("page.html").read_text("utf-8"))
    return template.substitute(title=html.escape(f"{run.spell} · {run.id}"), record=text)


def _error_line(run: RecordedRun) -> str:
    if run.error is None:
        return ""
    where = run.error.get("where")
    return f"{where}: {run.error['message']}" if where else str(run.error["message"])


def _row(depth: int, span: Span, begin: float) -> dict[str, Any]:
    kind = "model" if span.name.startswith("model.") else span.kind
    return {
        "path": span.path,
        "depth": depth,
        "name": span.name,
        "label": span.label,
        "kind": kind,
        "outcome": span.outcome,
        "started": round(span.started - begin, 6),
        "seconds": round(span.seconds, 6),
        "details": _details(span),
    }


def _details(span: Span) -> list[tuple[str, str]]:
    effect = span.effect
    if effect is None:
        return []
    details = [("path", span.path), ("arguments", shown(effect.args))]
    if effect.kind != "cancelled":
        details.append(("error" if effect.kind == "error" else "result", shown(effect.outcome)))
    if effect.usage:
        details.append(("usage", shown(effect.usage)))
    return details


def shown(value: Value) -> str:
    """Return a value for display: text as it is, anything else as JSON; truncated when long."""
    readable = legible(value)
    if not isinstance(readable, str):
        readable = json.dumps(readable, ensure_ascii=False, indent=2)
    if len(readable) <= _LONGEST:
        return readable
    return f"{readable[:_LONGEST]}\n… {len(readable) - _LONGEST:,} more characters"
