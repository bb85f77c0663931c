"""Exports a recorded run as an OpenTelemetry trace. Needs the extra `otel`.

Names and attributes follow OpenTelemetry's semantic conventions for generative AI, "Spans for GenAI
clients" and "GenAI agent spans". OpenTelemetry's own environment variables, such as
OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_HEADERS, say where traces go.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from llmspell.errors import ConfigError, JournalError
from llmspell.journal.html_page import shown
from llmspell.journal.reader import Reader
from llmspell.journal.records import RecordedRun
from llmspell.journal.spans import Span, spans_of
from llmspell.values import encodable

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer

_PROVIDERS = {
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "xai": "x_ai",
    "azure": "azure.ai.openai",
}
_BATCH = 512  # spans per export
_USAGE = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cached_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_written_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
    "usd": "llmspell.usage.usd",
}


def send(
    reader: Reader, run: RecordedRun, exporter: SpanExporter, *, contents: bool = False
) -> int:
    """Export the trace of a run, for example with `over_http()`; return the number of its spans.

    The ids of the trace and its spans are derived from the run's id, so exporting twice gives the
    same trace. `contents` adds prompts, answers, arguments and results. Raises JournalError if the
    exporter fails.
    """
    from opentelemetry import trace
    from opentelemetry.sdk.trace.export import SpanExportResult

    root = spans_of(reader, run)
    made: list[ReadableSpan] = []
    tracer = _provider(run, made).get_tracer("llmspell")
    with trace.use_span(trace.INVALID_SPAN):  # not as a child of the caller's span
        _make(tracer, root, run, contents)
    try:
        for start in range(0, len(made), _BATCH):
            if exporter.export(made[start : start + _BATCH]) is not SpanExportResult.SUCCESS:
                hint = "check OTEL_EXPORTER_OTLP_ENDPOINT, and the log"
                raise JournalError("the trace was not accepted", hint=hint)
    finally:
        exporter.shutdown()
    return len(made)


def over_http() -> SpanExporter:
    """Return an exporter for OTLP over HTTP. Raises ConfigError without the extra `otel`."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        hint = "install it: pip install 'llmspell[otel]'"
        raise ConfigError("OpenTelemetry", ["it is not installed"], hint=hint) from error
    return OTLPSpanExporter()


def _provider(run: RecordedRun, made: list[ReadableSpan]) -> TracerProvider:
    """Return a provider that derives span ids from the run's id and appends ended spans to `made`."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.id_generator import IdGenerator

    class Keeping(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            made.append(span)

    class Ids(IdGenerator):
        def __init__(self) -> None:
            self._spans = 0

        def generate_trace_id(self) -> int:
            return _number(run.id, 16)

        def generate_span_id(self) -> int:
            self._spans += 1
            return _number(f"{run.id}/{self._spans}", 8)

    resource = Resource.create({"service.name": "llmspell"})
    provider = TracerProvider(resource=resource, id_generator=Ids(), shutdown_on_exit=False)
    provider.add_span_processor(Keeping())
    return provider


def _number(name: str, size: int) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=size).digest())


def _make(tracer: Tracer, root: Span, run: RecordedRun, contents: bool) -> None:
    from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

    contexts: list[Any] = []
    for depth, span in root.walk():
        name, attributes = _described(span, run)
        if contents:
            attributes |= dict(_contents(span))
        begun = tracer.start_span(
            encodable(name),
            context=contexts[depth - 1] if depth else None,
            kind=SpanKind.CLIENT if span.name.startswith("model.") else SpanKind.INTERNAL,
            attributes={key: _encodable(value) for key, value in attributes.items()},
            start_time=_nanoseconds(run.started + span.started),
        )
        failed = run.error if depth == 0 else _error_of(span)
        if failed:
            begun.set_status(Status(StatusCode.ERROR, encodable(str(failed.get("message", "")))))
            begun.set_attribute("error.type", encodable(str(failed.get("code", "error"))))
        del contexts[depth:]
        contexts.append(set_span_in_context(begun))
        begun.end(_nanoseconds(run.started + span.ended))


def _encodable(value: Any) -> Any:
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    return encodable(value) if isinstance(value, str) else value


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)


def _error_of(span: Span) -> dict[str, Any] | None:
    if span.outcome != "error":
        return None
    outcome = span.effect.outcome if span.effect else None
    return outcome if isinstance(outcome, dict) else {"code": "error"}


def _described(span: Span, run: RecordedRun) -> tuple[str, dict[str, Any]]:
    """Return the span's OpenTelemetry name and attributes."""
    attributes: dict[str, Any] = {"llmspell.path": span.path, "llmspell.outcome": span.outcome}
    if span.path == "0":
        about = {"llmspell.run": run.id, "llmspell.spell": run.spell, "llmspell.status": run.status}
        workflow = {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": run.spell}
        return f"invoke_workflow {run.spell}", attributes | about | workflow
    if span.name == "model.request":
        return _model_call(span, attributes)
    if span.name == "agent.run":
        attributes |= {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": span.label}
        return f"invoke_agent {span.label}", attributes
    if span.name == "tool.call":
        attributes |= {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": span.label}
        return f"execute_tool {span.label}", attributes
    return f"{span.name} {span.label}".strip(), attributes


def _model_call(span: Span, attributes: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    provider, _, model = span.label.partition("/")
    attributes |= {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _PROVIDERS.get(provider, provider),
        "gen_ai.request.model": model,
    }
    if span.effect is not None:
        attributes |= dict(_asked(span.effect.args)) | dict(_answered(span.effect.outcome))
        usage = span.effect.usage or {}
        attributes |= {_USAGE[n]: v for n, v in usage.items() if n in _USAGE and v is not None}
    return f"chat {model}", attributes


def _asked(args: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in ("temperature", "top_p", "max_tokens", "seed"):
        if args.get(name) is not None:
            yield f"gen_ai.request.{name}", args[name]
    if args.get("stop"):
        yield "gen_ai.request.stop_sequences", args["stop"]


def _answered(outcome: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(outcome, dict) and "message" in outcome:
        yield "gen_ai.response.finish_reasons", [str(outcome.get("finish_reason", ""))]
        yield "gen_ai.response.model", str(outcome.get("model", "")).partition("/")[2]
        if outcome.get("id"):
            yield "gen_ai.response.id", outcome["id"]


def _contents(span: Span) -> Iterator[tuple[str, Any]]:
    effect = span.effect
    if effect is None:
        return
    if effect.name == "model.request":
        yield "gen_ai.input.messages", shown(effect.args.get("messages"))
        if effect.args.get("system"):
            yield "gen_ai.system_instructions", shown(effect.args["system"])
        if effect.kind == "ok" and isinstance(effect.outcome, dict):
            yield "gen_ai.output.messages", shown([effect.outcome.get("message")])
    elif effect.name == "tool.call":
        yield "gen_ai.tool.call.arguments", shown(effect.args.get("args"))
        yield "gen_ai.tool.call.result", shown(effect.outcome)
    else:
        yield "llmspell.arguments", shown(effect.args)
        yield "llmspell.result", shown(effect.outcome)
