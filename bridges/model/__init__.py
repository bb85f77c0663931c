from __future__ import annotations

from dataclasses import replace
from typing import Any

from llmspell.agents.streamed import streamed
from llmspell.agents.streams import Streams
from llmspell.bridge import Bridge
from llmspell.effects import Effect
from llmspell.permissions import Need
from llmspell.providers.messages import ModelRequest
from llmspell.providers.models import Models
from llmspell.providers.plain import request_from_plain
from llmspell.spending.estimate import Estimate, models_of, of_request
from llmspell.values import Value

bridge = Bridge("model", __file__)


def _bind(effect: Effect) -> dict[str, Any]:
    args = dict(effect.args)
    stream = args.pop("stream", False)
    return {"wanted": request_from_plain(args), "stream": stream is True}


def _needs(effect: Effect) -> list[tuple[str, Need]]:
    return [("the spell", Need("llm", model)) for model in models_of(effect.bound["wanted"])]


def _costs(effect: Effect) -> Estimate:
    return of_request(effect.bound["wanted"])


@bridge.effect(bind=_bind, needs=_needs, costs=_costs, repeatable=True)
async def request(effect: Effect, wanted: ModelRequest, stream: bool = False) -> dict[str, Value]:
    """Ask a model once. The shapes are those of `llmspell.providers.messages`.

    With `stream` the prompt it is for is told of the answer's pieces as they come.
    """
    named = replace(wanted, key=f"{effect.run.id}/{effect.path}")
    models = effect.run[Models]
    listening = effect.run[Streams].around(effect.path) if stream else None
    if listening is None:
        return (await models.complete(named)).as_plain()
    return await streamed(named, models.stream(named), listening)
