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
    "llmspell_effect_seconds": Family("histogram", "Duration of effects, whatever their outcome."),
    "llmspell_effect_errors_total": Family("counter", "Failed effects, by error code."),
    "llmspell_model_requests_total": Family("counter", "Model requests that were answered."),
    "llmspell_model_tokens_total": Family("counter", "Tokens used by answered model requests."),
    "llmspell_model_usd_total": Family(
        "counter", "Cost of answered model requests in US dollars, where the price is known."
    ),
    "llmspell_hook_calls_total": Family("counter", "Calls of the runtime's hooks."),
    "llmspell_hook_failures_total": Family("counter", "Failed calls of the runtime's hooks."),
    "llmspell_hook_circuit_open": Family(
        "gauge", "1 while a hook's circuit breaker is open, else 0."
    ),
    "llmspell_failures_total": Family(
        "counter", "Failures of hooks, middleware, plugins, capabilities and subscribers."
    ),
    "llmspell_runtime_events_total": Family(
        "counter", "Events that the runtime published, by topic."
    ),
    "llmspell_events_published_total": Family("counter", "Events published."),
    "llmspell_events_delivered_total": Family("counter", "Events delivered to subscribers."),
    "llmspell_events_dropped_total": Family(
        "counter", "Events dropped because a subscriber's backlog was full."
    ),
    "llmspell_runtimes_total": Family("counter", "Runtimes whose metrics are included."),
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
                raise ValueError(f"{line!r} is not a name and a value") from None
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
