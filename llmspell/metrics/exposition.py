"""Reads and writes Prometheus text format.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

Series = Mapping[str, float]
"""Values by name with labels: `llmspell_hook_calls_total{hook="guard",phase="before"}`."""


class Family(NamedTuple):
    """A metric family: all series of one name."""

    kind: str
    help: str


FAMILIES = {
    "llmspell_effect_seconds": Family("histogram", "How long effects took, whatever came of them."),
    "llmspell_effect_errors_total": Family("counter", "Effects that failed, by error."),
    "llmspell_model_requests_total": Family("counter", "Requests that models answered."),
    "llmspell_model_tokens_total": Family("counter", "Tokens of those requests."),
    "llmspell_model_usd_total": Family("counter", "What they cost, where the price is known."),
    "llmspell_hook_calls_total": Family("counter", "How often hooks of the runtime were called."),
    "llmspell_hook_failures_total": Family("counter", "How often such a hook failed."),
    "llmspell_hook_circuit_open": Family(
        "gauge", "1 while such a hook is left out, as it failed too often."
    ),
    "llmspell_failures_total": Family(
        "counter", "Hooks, middleware, plugins, capabilities and subscribers that failed."
    ),
    "llmspell_told_total": Family("counter", "What the runtime said of itself, by topic."),
    "llmspell_events_published_total": Family("counter", "Events."),
    "llmspell_events_delivered_total": Family("counter", "How often a subscriber got one."),
    "llmspell_events_dropped_total": Family(
        "counter", "How often a subscriber lost one, as it had no room."
    ),
    "llmspell_runtimes_total": Family("counter", "Runtimes that told of themselves here."),
}
"""The metric families, in the order in which they are written."""

_PART = re.compile(r"_(bucket|sum|count)$")


def series(name: str, /, **labels: str) -> str:
    """Return the name of a series, including its labels."""
    if not labels:
        return name
    return f"{name}{{{','.join(f'{key}={_quoted(value)}' for key, value in labels.items())}}}"


def exposition(values: Series) -> str:
    """Format values, grouped by family."""
    lines: list[str] = []
    for name, family in FAMILIES.items():
        if mine := [key for key in values if _family(key) == name]:
            lines += [f"# HELP {name} {family.help}", f"# TYPE {name} {family.kind}"]
            lines += [f"{key} {_number(values[key])}" for key in mine]
    return "\n".join([*lines, ""])


def read(text: str) -> dict[str, float]:
    """Parse values. Raises ValueError if the text is malformed."""
    values = {}
    for line in text.split("\n"):
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            try:
                values[name] = float(value)
            except ValueError:
                raise ValueError(f"{line!r} is no name and value") from None
    return values


def merged(old: Series, new: Series) -> dict[str, float]:
    """Combine two sets of values: counters are added, gauges take the newer value."""
    both = dict(old)
    for key, value in new.items():
        family = FAMILIES.get(_family(key))
        gauge = family is not None and family.kind == "gauge"
        both[key] = value if gauge else both.get(key, 0) + value
    return both


def _family(key: str) -> str:
    name = key.partition("{")[0]
    return name if name in FAMILIES else _PART.sub("", name)


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(value)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'"{escaped}"'
