from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmspell.agents.capabilities.capability import Capability
from llmspell.effects import Effect
from llmspell.providers.provider import ModelName
from llmspell.values import Value

if TYPE_CHECKING:
    from llmspell.agents.agent import Agent


class Model(Capability):
    """Another model, or other sampling options; removing it restores the previous ones."""

    type = "model"

    def __init__(
        self,
        model: str | None = None,
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        reasoning: str | int | None = None,
    ) -> None:
        """Create the capability.

        Args:
            model: Provider and model.
            temperature: Sampling temperature, in the provider's scale.
            max_tokens: Longest answer, in tokens.
            reasoning: How much to think.
        """
        if model is not None:
            ModelName.parse(model)
        self.model = model
        asks = {"temperature": temperature, "max_tokens": max_tokens, "reasoning": reasoning}
        self._asks = {name: value for name, value in asks.items() if value is not None}
        self._before: tuple[str | None, dict[str, Any]] | None = None

    async def attach(self, agent: Agent, effect: Effect) -> None:  # noqa: ARG002 - an interface
        if self._before is None:  # a fork shares the original agent's
            self._before = agent.model, agent.asks
        agent.model, agent.asks = self.model or agent.model, {**agent.asks, **self._asks}

    async def detach(self, agent: Agent, effect: Effect) -> None:  # noqa: ARG002
        if self._before is not None:
            agent.model, agent.asks = self._before

    def describe(self) -> dict[str, Value]:
        return {"model": self.model, **self._asks}
