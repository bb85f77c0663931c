"""Limits on the resources of a run, and budgets. No pcall catches the breach of a run's limit."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import field, replace
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_type_hints

from llmspell.durations import seconds_in
from llmspell.frozen import Frozen

MAX_LIMIT = 2**53  # the largest value of a limit: floats are exact up to here

_WRITTEN = re.compile(r"\s*([\d._]+)\s*([A-Za-z]*)\s*")


class Unit(Frozen):
    """The unit of a limit: parsed from text such as "64MiB", and shown as "64 MiB".

    Attributes:
        what: A description of the values.
        example: An example of a value.
        scales: The names of the unit and their factors; shown with the first that fits.
        whole: Whether values must be whole numbers.
        least: The smallest value; None allows any above 0.
    """

    what: str
    example: str
    scales: Mapping[str, float] = field(hash=False)
    whole: bool = True
    least: int | None = None

    def read(self, given: object) -> float:
        """Parse a number or a text.

        Raises:
            ValueError: It is invalid; the message says what it must be.
        """
        number = self._number(given)
        if self.whole and math.isfinite(number) and math.isclose(number, round(number)):
            number = round(number)
        enough = number > 0 if self.least is None else number >= self.least
        if not (enough and number <= MAX_LIMIT) or (self.whole and isinstance(number, float)):
            least = self.shown(self.least) if self.least else "0"
            bound = f"{'above' if self.least is None else 'from'} {least}"
            raise ValueError(f"must be {self.what} {bound}, such as {self.example}, not {given!r}")
        return number

    def _number(self, given: object) -> float:
        if isinstance(given, (int, float)) and not isinstance(given, bool):
            return given
        text = _WRITTEN.fullmatch(given) if isinstance(given, str) else None
        if not text:
            return math.nan
        scales = {"": 1.0} | {name.lower(): scale for name, scale in self.scales.items()}
        try:
            return float(text[1]) * scales[text[2].lower()]
        except (ValueError, KeyError):
            return math.nan

    def shown(self, value: float) -> str:
        """Format a value for display: `64 MiB`, `0.5 s`, `1,000,000`."""
        fitting = (pair for pair in self.scales.items() if not self.whole or value % pair[1] == 0)
        name, scale = next(fitting, ("", 1))
        return f"{value / scale:,.16g} {name}".strip()

    def written(self, value: float) -> str:
        """Format a value for a command line or a file: `64MiB`, `0.5s`, `1_000_000`."""
        return self.shown(value).replace(" ", "").replace(",", "_")

    def __get_pydantic_core_schema__(self, _source: Any, _handler: Any) -> Any:
        from pydantic_core import PydanticCustomError, core_schema

        def read(given: object) -> float:
            try:
                return self.read(given)
            except ValueError as error:
                raise PydanticCustomError("limit", "{problem}", {"problem": str(error)}) from error

        return core_schema.no_info_plain_validator_function(read)

    def __get_pydantic_json_schema__(self, _schema: Any, _handler: Any) -> dict[str, Any]:
        bound = "exclusiveMinimum" if self.least is None else "minimum"
        number = {"type": "integer" if self.whole else "number", bound: self.least or 0}
        return {
            "anyOf": [number, {"type": "string"}],
            "description": f"{self.what}: {self.example}",
        }


class Duration(Unit):
    """Seconds that may also be written as a duration: "5m", "1h30m"."""

    def _number(self, given: object) -> float:
        number = super()._number(given)
        if not (math.isnan(number) and isinstance(given, str)):
            return number
        try:
            return seconds_in(given)
        except ValueError:
            return math.nan


_SIZES = {
    "GiB": 1 << 30,
    "GB": 10**9,
    "MiB": 1 << 20,
    "MB": 10**6,
    "KiB": 1 << 10,
    "kB": 1000,
    "bytes": 1,
    "B": 1,
}

_BYTES = Unit("a size", "64MiB", _SIZES)
Bytes = Annotated[int, _BYTES]
# An error has to fit into a message, with its place.
MessageBytes = Annotated[int, replace(_BYTES, least=256)]
_SECONDS = Duration("a number of seconds", "1m30s", {"s": 1, "ms": 0.001}, whole=False)
Seconds = Annotated[float, _SECONDS]
NonNegativeSeconds = Annotated[float, replace(_SECONDS, least=0)]
Count = Annotated[int, Unit("a whole number", "1_000_000", {"": 1})]
Dollars = Annotated[float, Unit("a number of US dollars", "0.50", {"usd": 1}, whole=False)]


class Limits(Frozen):
    """The limits of a run.

    Attributes:
        memory: Bytes of Lua memory.
        instructions: Lua instructions between two effects.
        time: Seconds of Lua between two effects: CPU time if isolated, else whole seconds of wall
            time.
        effects: Effects in the whole run.
        output: Bytes printed and logged in the whole run.
        kept: Bytes that the host keeps for the run, such as conversations.
        message: Bytes of a single value passed between Lua and the host.
    """

    memory: Bytes = 64 << 20
    instructions: Count = 500_000_000
    time: Seconds = 10
    effects: Count = 1_000_000
    output: Bytes = 16 << 20
    kept: Bytes = 256 << 20
    message: MessageBytes = 16 << 20

    def lowered(self, to: Mapping[str, float]) -> Limits:
        """Return these limits, with those of `to` that are lower."""
        lower = {n: min(getattr(self, n), most) for n, most in to.items() if n in units(Limits)}
        return replace(self, **lower) if lower else self


class Budget(Frozen):
    """What a run, an agent or a task may spend on models; None is unlimited.

    Attributes:
        usd: US dollars.
        tokens: Input and output tokens together.
        calls: Requests to models.
        seconds: Wall time since the start; for an agent, the time of its prompts.
        unknown_price: Whether to allow or refuse models of unknown price under a budget in
            dollars. Allowed ones count as free, and are listed separately.
    """

    usd: Dollars | None = None
    tokens: Count | None = None
    calls: Count | None = None
    seconds: Seconds | None = None
    unknown_price: Literal["refuse", "allow"] = "refuse"

    def lowered(self, to: Mapping[str, float]) -> Budget:
        """Return this budget, with the amounts of `to` that are lower."""
        lower = {
            name: most
            for name, most in to.items()
            if name in units(Budget) and most < (getattr(self, name) or math.inf)
        }
        return replace(self, **lower) if lower else self  # type: ignore[arg-type]


@cache
def units(*kinds: type) -> dict[str, Unit]:
    """Return the unit of each limit by name; by default for all limits and budgets."""
    hints: dict[str, Any] = {}
    for kind in kinds or (Limits, Budget):
        hints |= get_type_hints(kind, include_extras=True)
    return {name: unit for name, hint in hints.items() if (unit := _unit(hint))}


def _unit(hint: Any) -> Unit | None:
    """Return the unit in an annotated type, or in a union of one with None."""
    parts = [note for part in (hint, *get_args(hint)) for note in getattr(part, "__metadata__", ())]
    return next((note for note in parts if isinstance(note, Unit)), None)


def read_limits(table: Mapping[str, object], *kinds: type) -> tuple[dict[str, float], list[str]]:
    """Parse limits by name, from numbers and texts such as "64MB"; return them and the problems."""
    section = "budget" if kinds == (Budget,) else "limits"
    limits, problems = {}, []
    for name, given in table.items():
        try:
            limits[name] = units(*kinds)[name].read(given)
        except KeyError:
            problems.append(f"{section}.{name}: no such limit")
        except ValueError as error:
            problems.append(f"{section}.{name}: {error}")
    return limits, problems


_PRECISION = 10_000  # dollars are shown to a hundredth of a cent


def how_to_raise(limit: str, value: float, enough: float = 0.0) -> str:
    """Return a hint on how to raise a limit for a run that exceeded it.

    It names twice the value, or `enough` if that is more.
    """
    more = max(2 * value, math.ceil(enough * _PRECISION) / _PRECISION)
    option, section, written = "limit", "limits", units()[limit].written(more)
    if limit in units(Budget):
        option, section, written = "budget", "budget", written.removesuffix("usd")
    return (
        f"raise it with --{option} {limit}={written}, or {limit} under [{section}] in llmspell.toml"
    )
