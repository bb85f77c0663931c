"""What was spent: calls, tokens and dollars, by model."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

from llmspell.values import Value

if TYPE_CHECKING:
    from llmspell.providers.messages import Usage


@dataclass
class Spent:
    """What went to one model, or to several together.

    Attributes:
        calls: Requests that were answered, or may have been.
        usd: What they cost, as far as prices are known.
        unpriced: Of the calls, those whose price is not known.
        unanswered: Of the calls, those of which nobody knows what they used: they count as what
            they may have at most.
    """

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    usd: float = 0.0
    unpriced: int = 0
    unanswered: int = 0

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def add(self, usage: Usage, usd: float | None, *, answered: bool) -> None:
        """Count one more call."""
        self.calls += 1
        self.input_tokens += usage.input_tokens
        self.output_tokens += usage.output_tokens
        self.cached_tokens += usage.cached_tokens
        self.usd += usd or 0.0
        self.unpriced += usd is None
        self.unanswered += not answered

    def __iadd__(self, other: Spent) -> Self:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))
        return self

    def as_plain(self) -> dict[str, Value]:
        """Its numbers; without `usd` where no price is known."""
        plain: dict[str, Value] = {"calls": self.calls, "tokens": self.tokens}
        return plain if 0 < self.calls == self.unpriced else plain | {"usd": self.usd}


class Spending(dict[str, Spent]):
    """What was spent, by the model that was asked."""

    @property
    def total(self) -> Spent:
        total = Spent()
        for one in self.values():
            total += one
        return total

    def __str__(self) -> str:
        """For people: `openai/x: 3 calls, 1,234 tokens, $0.0123; …`."""
        return "; ".join(
            f"{model}: {in_calls(one)}, {counted(one.tokens, 'token')}, {in_dollars(one)}"
            for model, one in self.items()
        )


def counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def in_calls(spent: Spent) -> str:
    """`3 calls`, and of how many of them no usage was reported."""
    return counted(spent.calls, "call") + unanswered(spent)


def unanswered(spent: Spent) -> str:
    return f" ({spent.unanswered:,} unreported)" if spent.unanswered else ""


def in_dollars(spent: Spent) -> str:
    """`$0.0123`, and whether it may be less, or there is more of which the price is not known."""
    if spent.unpriced == spent.calls and spent.calls:
        return "price unknown"
    shown = amount(spent.usd)
    if spent.unanswered and spent.usd >= _LEAST:
        shown = f"at most {shown}"
    return (
        f"{shown} and {counted(spent.unpriced, 'call')} of unknown price"
        if spent.unpriced
        else shown
    )


_LEAST = 0.0001


def amount(usd: float) -> str:
    """Dollars to a hundredth of a cent; `$0` for nothing."""
    if usd == 0:
        return "$0"
    return f"${usd:,.4f}" if usd >= _LEAST else f"under ${_LEAST}"
