from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from llmspell.agents.response_stream import stream_response
from llmspell.agents.streams import Piece, Stream, Streams
from llmspell.bridge import Bridge
from llmspell.effects import Effect
from llmspell.permissions import Need
from llmspell.providers.deserialization import request_from_plain
from llmspell.providers.embedding import EmbedRequest
from llmspell.providers.messages import ModelRequest, Usage
from llmspell.providers.models import Models, Substitutes
from llmspell.providers.provider import ModelName
from llmspell.providers.tokens import tokens_in
from llmspell.spending.estimate import Estimate, models_of, of_request
from llmspell.spending.reuse import reusable
from llmspell.values import Value

bridge = Bridge("model", __file__)


def _bind(effect: Effect) -> dict[str, Any]:
    args = dict(effect.args)
    stream = args.pop("stream", False)
    wanted = effect.run[Substitutes].of(_wanted(effect, args))
    return {"wanted": wanted, "stream": stream is True}


def _wanted(effect: Effect, args: dict[str, Value]) -> ModelRequest:
    args_source = effect.args_source
    known = args_source.messages if isinstance(args_source, ModelRequest) else ()
    return request_from_plain(args, key=f"{effect.run.id}/{effect.path}", known=known)


def _needs(effect: Effect) -> list[tuple[str, Need]]:
    return [("the spell", Need("llm", model)) for model in models_of(effect.bound["wanted"])]


def _costs(effect: Effect) -> Estimate:
    wanted, models = effect.bound["wanted"], effect.run[Models]
    if effect.bound["stream"]:
        return of_request(wanted, streamed=True, sent=models.as_sent)
    return of_request(wanted, sent=models.as_sent, join=partial(models.join, wanted))


def _stream_of(effect: Effect) -> Stream | None:
    """Return the stream that the pieces of the answer go to, if there is one."""
    return effect.run[Streams].of_request(effect.path) if effect.bound["stream"] else None


def _so_far(effect: Effect) -> Value:
    stream = _stream_of(effect)
    return stream and {"pieces": stream.pieces}


def _delivered(effect: Effect) -> Callable[[], list[list[Piece]]] | None:
    stream = _stream_of(effect)
    return stream.delivered if stream else None


def _replayed(effect: Effect, outcome: Value) -> None:
    """Repeat the recorded pieces of an answer, or those before an error, to the stream."""
    if isinstance(outcome, dict) and (stream := _stream_of(effect)):
        known = outcome if "pieces" in outcome else outcome.get("details") or {}
        stream.catch_up(known.get("pieces", ()))


@bridge.effect(
    bind=_bind,
    needs=_needs,
    costs=_costs,
    repeatable=True,
    reusable=reusable,
    so_far=_so_far,
    delivered=_delivered,
    replayed=_replayed,
)
async def request(
    effect: Effect,
    wanted: ModelRequest,
    stream: bool,  # noqa: ARG001 - `_stream_of` reads it
) -> dict[str, Value]:
    """Make one request to a model, in the shapes of `llmspell.providers.messages`.

    With `stream`, the enclosing prompt receives the answer's pieces as they arrive.
    """
    models = effect.run[Models]
    effect.run[Substitutes].used.add(str(effect.args["model"]))
    listening = _stream_of(effect)
    if listening is None:
        return (await models.complete(wanted)).as_plain()
    return await stream_response(wanted, models.stream(wanted), listening)


def _embedding_costs(effect: Effect) -> Estimate:
    """Return the estimated cost of embeddings; without texts, no model is called."""
    models = [effect.bound["model"]] if effect.bound["texts"] else []
    return Estimate(models, lambda: _tokens(effect))


def _tokens(effect: Effect) -> Usage:
    return Usage(input_tokens=sum(map(tokens_in, effect.bound["texts"])))


@bridge.effect(
    needs=lambda effect: [("the spell", Need("llm", effect.bound["model"]))],
    costs=_embedding_costs,
    repeatable=True,
    reusable=reusable,
)
async def embed(
    effect: Effect, texts: list[str], model: str, dimensions: int | None = None
) -> dict[str, Value]:
    """Compute embeddings of texts: {vectors, usage, model}. Each vector is a list of numbers."""
    key = f"{effect.run.id}/{effect.path}"
    request = EmbedRequest(model, tuple(texts), dimensions, key)
    return (await effect.run[Models].embed(request)).as_plain()


@bridge.effect(repeatable=True)
def embedder(effect: Effect) -> str:
    """The embedding model of spells that name none."""
    return effect.run[Models].embedder()


@bridge.effect(name="list", repeatable=True)
async def list_models(effect: Effect, provider: str | None = None) -> list[str]:
    """The models that a provider offers; by default the provider of the default model."""
    models = effect.run[Models]
    name = provider or ModelName.parse((await models.default()).model).provider
    return [f"{name}/{model}" for model in await models.offered(name)]
