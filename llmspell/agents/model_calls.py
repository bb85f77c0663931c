"""Asks a model for an agent: again when that may help, then another one."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any

from llmspell.agents.context import is_too_long
from llmspell.agents.streams import Stream
from llmspell.effects import Effect
from llmspell.errors import ProviderError
from llmspell.providers.deserialization import response_from_plain
from llmspell.providers.messages import ModelRequest, ModelResponse
from llmspell.values import Value

PATIENCE = 2.0  # seconds a provider may be waited for while there is another model to ask
LONGEST = 60.0  # seconds of a pause, where there is none


class ModelCaller:
    """Asks the models of an agent, in turn, until one answers; then goes on with that one.

    Each attempt is a `model.request` of its own, so that it is judged, paid and recorded.
    """

    def __init__(
        self,
        effect: Effect,
        models: Sequence[str],
        *,
        attempts: int,
        stream: Stream | None,
        failed: list[Value],
    ) -> None:
        """Prepare; to `failed` are added the models that could not answer, as {model, code, message}."""
        self._effect, self._attempts, self._stream = effect, attempts, stream
        self._models, self._failed = list(models), failed

    @property
    def model(self) -> str:
        return self._models[0]

    async def ask(self, request: ModelRequest, *, can_shorten: bool = False) -> ModelResponse:
        """The answer.

        Raises:
            ProviderError: The last model could not answer; or one failed whose answer the spell
                had seen a part of, as no other one could go on with that; or the request is too
                long, and whoever asks can shorten it.
        """
        while True:
            try:
                return await self._try(request)
            except ProviderError as error:
                if error.details.get("pieces") or not self._others:
                    raise
                if can_shorten and is_too_long(error):
                    raise
                failure = {"model": self.model, "code": error.code, "message": error.message}
                self._failed.append(failure)
                del self._models[0]
                if self._stream:
                    self._stream.put({"type": "fallback", "model": self.model, "failed": failure})

    @property
    def _others(self) -> bool:
        return len(self._models) > 1

    async def _try(self, request: ModelRequest) -> ModelResponse:
        """The answer of the model that is in turn, asked as often as it may be."""
        patience = PATIENCE if self._others else None
        if patience is not None or request.model != self.model:
            request = replace(request, model=self.model, patience=patience)
        attempt = 1
        while True:
            try:
                return await self.once(request, self._stream)
            except ProviderError as error:
                pause = _pause(error, attempt)
                longest = PATIENCE if self._others else LONGEST
                if not error.retryable or attempt >= self._attempts or pause > longest:
                    raise
            await self._effect.perform("task.sleep", seconds=pause)
            attempt += 1

    async def once(self, request: ModelRequest, stream: Stream | None) -> ModelResponse:
        """The answer to a single request, told to a stream if there is one.

        Raises:
            Stopped: The spell wants no more.
        """
        if stream is None:
            return response_from_plain(await self._perform(request))
        await stream.wanted()
        stream.begin_answer()
        try:
            answer = await self._perform(request, stream=True)
        except ProviderError as error:
            stream.catch_up(error.details.get("pieces", ()))
            raise
        answer = dict(answer)
        pieces = answer.pop("pieces", None)
        response = response_from_plain(answer)
        text = response.message.text
        stream.catch_up(([[text]] if text else []) if pieces is None else pieces)
        return response

    def _perform(self, request: ModelRequest, **more: Value) -> Coroutine[Any, Any, Value]:
        effect = self._effect.child("model.request", request.as_plain() | more)
        effect.made_of = request
        return effect.run.perform(effect)


def _pause(error: ProviderError, attempt: int) -> float:
    """Seconds to wait: what the server asks for, or twice as long each time."""
    asked = error.details.get("retry_after")
    return float(asked) if isinstance(asked, (int, float)) else 0.5 * 2**attempt
