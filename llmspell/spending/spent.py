"""What has been spent: calls, tokens and dollars, by model."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

from llmspell.values import Value

if TYPE_CHECKING:
    from llmspell.providers.messages import Usage


@dataclass
class Spent:
    """What has been spent on one model, or on several.

    Attributes:
        calls: Requests that were answered, or may have been.
        usd: Their cost, as far as prices are known.
        unpriced: The number of calls whose price is not known.
        unanswered: The number of calls whose usage was not reported; they count with the most they
            may have used.
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
        """Return calls, tokens and `usd`, without `usd` if no price is known."""
        plain: dict[str, Value] = {"calls": self.calls, "tokens": self.tokens}
        return plain if 0 < self.calls == self.unpriced else plain | {"usd": self.usd}


class Spending(dict[str, Spent]):
    """What has been spent, by requested model."""

    @property
    def total(self) -> Spent:
        total = Spent()
        for one in self.values():
            total += one
        return total

    def __str__(self) -> str:
        """Format for people: `openai/x: 3 calls, 1,234 tokens, $0.0123; …`."""
        return "; ".join(
            f"{model}: {in_calls(one)}, {counted(one.tokens, 'token')}, {in_dollars(one)}"
            for model, one in self.items()
        )


def counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def in_calls(spent: Spent) -> str:
    """Format the number of calls, and how many of them did not report their usage."""
    return counted(spent.calls, "call") + unanswered(spent)


def unanswered(spent: Spent) -> str:
    return f" ({spent.unanswered:,} unreported)" if spent.unanswered else ""


def in_dollars(spent: Spent) -> str:
    """Format the cost, and say if it may be less or does not include calls of unknown price."""
    if spent.unpriced == spent.calls and spent.calls:
        return "price unknown"
    shown = amount(spent.usd)
    if spent.unanswered and spent.usd >= _SMALLEST_SHOWN:
        shown = f"at most {shown}"
    return (
        f"{shown} and {counted(spent.unpriced, 'call')} of unknown price"
        if spent.unpriced
        else shown
    )


_SMALLEST_SHOWN = 0.0001


def amount(usd: float) -> str:
    """Format dollars to a hundredth of a cent; `$0` for nothing."""
    if usd == 0:
        return "$0"
    return f"${usd:,.4f}" if usd >= _SMALLEST_SHOWN else f"under ${_SMALLEST_SHOWN}"
