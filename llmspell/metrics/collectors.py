"""Collects the metrics of models, hooks and events."""

from __future__ import annotations

from llmspell.events import Events
from llmspell.hooks import Hooks
from llmspell.metrics.exposition import series
from llmspell.spending.spent import Spending


def of_hooks(hooks: Hooks) -> dict[str, float]:
    """Return the calls and failures of each hook, and whether its circuit is open."""
    values: dict[str, float] = {}
    for hook in hooks.own():
        labels = {"hook": hook.id, "phase": hook.phase}
        for name, value in (
            ("llmspell_hook_calls_total", hook.calls),
            ("llmspell_hook_failures_total", hook.failures),
            ("llmspell_hook_circuit_open", hook.circuit.state == "open"),
        ):
            key = series(name, **labels)
            values[key] = values.get(key, 0) + float(value)
    return values


def of_spending(spent: Spending) -> dict[str, float]:
    """Return the requests, tokens and cost of each model."""
    values: dict[str, float] = {}
    for model, one in spent.items():
        values[series("llmspell_model_requests_total", model=model)] = one.calls
        for kind, tokens in (
            ("input", one.input_tokens),
            ("output", one.output_tokens),
            ("cached", one.cached_tokens),
        ):
            values[series("llmspell_model_tokens_total", model=model, kind=kind)] = tokens
        values[series("llmspell_model_usd_total", model=model)] = one.usd
    return values


def of_events(events: Events) -> dict[str, float]:
    """Return the numbers of events, of the runtime's own events by topic, and of failures by part."""
    counts = events.statistics()
    values: dict[str, float] = {
        "llmspell_events_published_total": counts.published,
        "llmspell_events_delivered_total": counts.delivered,
        "llmspell_events_dropped_total": counts.dropped,
    }
    for (topic, name), count in sorted(events.published_counts.items()):
        key = series("llmspell_runtime_events_total", topic=topic)
        values[key] = values.get(key, 0) + count
        if name:
            kind = topic.partition(".")[0]
            values[series("llmspell_failures_total", kind=kind, name=name)] = count
    return values
