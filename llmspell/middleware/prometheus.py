"""Metrics in the text format that Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate

from llmspell.middleware.measured import BOUNDS, Measured

_ERRORS = "llmspell_effect_errors_total"
_SECONDS = "llmspell_effect_seconds"


def exposition(measured: Mapping[str, Measured]) -> str:
    """A histogram of the seconds of each effect, and a counter of its errors by code."""
    lines = [
        f"# HELP {_SECONDS} How long effects took, whatever came of them.",
        f"# TYPE {_SECONDS} histogram",
    ]
    for effect, found in sorted(measured.items()):
        lines += _histogram(_label("effect", effect), found)
    lines += [f"# HELP {_ERRORS} Effects that failed.", f"# TYPE {_ERRORS} counter"]
    for effect, found in sorted(measured.items()):
        for code, count in sorted(found.errors.items()):
            lines.append(f"{_ERRORS}{{{_label('effect', effect)},{_label('code', code)}}} {count}")
    return "\n".join([*lines, ""])


def _histogram(label: str, found: Measured) -> Iterator[str]:
    bounds = [*(f"{bound:g}" for bound in BOUNDS), "+Inf"]
    for bound, count in zip(bounds, accumulate(found.histogram), strict=True):
        yield f'{_SECONDS}_bucket{{{label},le="{bound}"}} {count}'
    yield f"{_SECONDS}_sum{{{label}}} {found.seconds!r}"
    yield f"{_SECONDS}_count{{{label}}} {found.calls}"


def _label(name: str, value: str) -> str:
    escaped = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'{name}="{escaped}"'
