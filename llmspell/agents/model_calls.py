"""Asks an agent's models, with retries and fallback."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

from llmspell.agents.context import is_too_long
from llmspell.agents.response_stream import unstreamed_text
from llmspell.agents.streams import Stream
from llmspell.effects import Effect
from llmspell.errors import AgentError, ProviderError
from llmspell.providers.deserialization import response_from_plain
from llmspell.providers.messages import ModelRequest, ModelResponse
from llmspell.values import Value

PATIENCE = 2.0  # longest pause before a retry in seconds, if there is another model to ask
LONGEST = 60.0  # the same if there is none


class ModelCaller:
    """Asks an agent's models in turn until one answers; later requests start with that one.

    Each attempt is a separate `model.request`, so that it is checked, budgeted and recorded.
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
        """Prepare; models that fail are appended to `failed` as {model, code, message}."""
        self._effect, self._attempts, self._stream = effect, attempts, stream
        self._models, self._failed = list(models), failed

    @property
    def model(self) -> str:
        return self._models[0]

    def unstreamed(self, model: str) -> ModelCaller:
        """Return a caller for answers that are not streamed; a `model` comes in place of the first."""
        models = [model or self.model, *self._models[1:]]
        return ModelCaller(
            self._effect, models, attempts=self._attempts, stream=None, failed=self._failed
        )

    async def ask(self, request: ModelRequest, *, can_shorten: bool = False) -> ModelResponse:
        """Ask, and return the answer.

        Raises:
            ProviderError: The last model failed; those before it are in `details.failed`. Or a model
                failed after the spell had seen part of its answer, which no other model could
                continue. Or the request is too long and the caller `can_shorten` it.
        """
        while True:
            try:
                return await self._try(request)
            except ProviderError as error:
                if error.details.get("pieces") or not self._others:
                    if self._failed:
                        raise _with_earlier(error, self._failed) from error
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
        """Ask the current model, with retries."""
        patience = PATIENCE if self._others else None
        if patience is not None or request.model != self.model:
            request = replace(request, model=self.model, patience=patience)
        attempt = 1
        while True:
            try:
                return await self._ask_once(request)
            except ProviderError as error:
                pause = _pause(error, attempt)
                longest = PATIENCE if self._others else LONGEST
                if not error.retryable or attempt >= self._attempts or pause > longest:
                    raise
            await self._effect.perform("task.sleep", seconds=pause)
            attempt += 1

    async def _ask_once(self, request: ModelRequest) -> ModelResponse:
        """Perform a single request, and put its answer into the stream, if there is one.

        Raises:
            StreamStopped: The spell has stopped reading the stream.
        """
        stream = self._stream
        if stream is None:
            return response_from_plain(_checked(await self._perform(request), request.model))
        await stream.wait_for_demand()
        stream.begin_answer()
        try:
            answer = await self._perform(request, stream=True)
        except ProviderError as error:
            stream.catch_up(error.details.get("pieces", ()))
            raise
        answer = dict(_checked(answer, request.model))
        pieces = answer.pop("pieces", None)
        response = response_from_plain(answer)
        text = unstreamed_text(response.message, spoke=False)
        stream.catch_up(([[text]] if text else []) if pieces is None else pieces)
        return response

    def _perform(self, request: ModelRequest, **more: Value) -> Coroutine[Any, Any, Value]:
        effect = self._effect.child("model.request", request.as_plain() | more)
        effect.args_source = request
        return effect.run.perform(effect)


def _with_earlier(error: ProviderError, failed: Sequence[Value]) -> ProviderError:
    """Return an error that also names the models that failed earlier."""
    earlier = "; ".join([f"{one['model']} failed: {one['message']}" for one in failed])
    told = copy(error)
    told.message = f"{error.message}; before that, {earlier}"
    told.details = error.details | {"failed": list(failed)}
    return told


def _checked(answer: Value, model: str) -> Mapping[str, Value]:
    """Return an answer that hooks may have replaced. Raises AgentError if it is not a table."""
    if isinstance(answer, Mapping):
        return answer
    if answer is None:
        raise AgentError(f"a hook skipped the request to {model}, so the agent has no answer")
    raise AgentError(
        f"model.request: the result that a hook gave it must be a table such as {{message = …}},"
        f" not {answer!r}"
    )


def _pause(error: ProviderError, attempt: int) -> float:
    """Return the seconds to wait: what the server asks for, else exponential backoff."""
    asked = error.details.get("retry_after")
    return float(asked) if isinstance(asked, (int, float)) else 0.5 * 2**attempt
