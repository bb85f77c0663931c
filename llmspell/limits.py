"""Limits on what one run may use. On by default; a breach ends the run, uncatchably."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Annotated, Any, get_type_hints

MOST = 2**53  # what any limit may be: up to here a float is exact

_WRITTEN = re.compile(r"\s*([\d._]+)\s*([A-Za-z]*)\s*")


@dataclass(frozen=True)
class Unit:
    """What a limit counts: how it is written, as "64MiB", and how it is shown, as "64 MiB".

    Attributes:
        what: In words.
        example: What one may write.
        scales: The names it goes by, and how much each is; shown with the first that fits.
        whole: Whether there are no parts of it.
    """

    what: str
    example: str
    scales: Mapping[str, float] = field(hash=False)
    whole: bool = True

    def read(self, given: object) -> float:
        """The number that a number or a text stands for.

        Raises:
            ValueError: With what it must be, in a few words.
        """
        number = self._number(given)
        if self.whole and math.isfinite(number) and math.isclose(number, round(number)):
            number = round(number)
        if not 0 < number <= MOST or (self.whole and isinstance(number, float)):
            raise ValueError(f"must be {self.what} above 0, such as {self.example}, not {given!r}")
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
        """For people: `64 MiB`, `0.5 s`, `1,000,000`."""
        fitting = (pair for pair in self.scales.items() if not self.whole or value % pair[1] == 0)
        name, scale = next(fitting, ("", 1))
        return f"{value / scale:,.16g} {name}".strip()

    def written(self, value: float) -> str:
        """For a command line or a file: `64MiB`, `0.5s`, `1_000_000`."""
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
        number = {"type": "integer" if self.whole else "number", "exclusiveMinimum": 0}
        return {
            "anyOf": [number, {"type": "string"}],
            "description": f"{self.what}: {self.example}",
        }


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

Bytes = Annotated[int, Unit("a size", "64MiB", _SIZES)]
Seconds = Annotated[float, Unit("a number of seconds", "2s", {"s": 1, "ms": 0.001}, whole=False)]
Count = Annotated[int, Unit("a whole number", "1_000_000", {"": 1})]


@dataclass(frozen=True)
class Limits:
    """The limits of a run.

    Attributes:
        memory: Bytes of Lua memory.
        instructions: Lua instructions between two effects.
        time: Seconds of Lua between two effects: of CPU if it is isolated, else whole ones on the clock.
        effects: Effects in the whole run.
        output: Bytes printed in the whole run.
        message: Bytes of one value that crosses between Lua and the host.
    """

    memory: Bytes = 64 << 20
    instructions: Count = 500_000_000
    time: Seconds = 10
    effects: Count = 1_000_000
    output: Bytes = 16 << 20
    message: Bytes = 16 << 20

    def lowered(self, to: Mapping[str, float]) -> Limits:
        """These, with those of `to` that are lower."""
        return replace(self, **{name: min(getattr(self, name), most) for name, most in to.items()})


@cache
def units() -> dict[str, Unit]:
    """Every limit, and what it counts."""
    hints = get_type_hints(Limits, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items()}


def read_limits(table: Mapping[str, object]) -> tuple[dict[str, float], list[str]]:
    """Limits by name from numbers and texts such as "64MB"; and what is wrong with them."""
    limits, problems = {}, []
    for name, given in table.items():
        try:
            limits[name] = units()[name].read(given)
        except KeyError:
            problems.append(f"limits.{name}: no limit of that name")
        except ValueError as error:
            problems.append(f"limits.{name}: {error}")
    return limits, problems


def how_to_raise(limit: str, value: float) -> str:
    """What to do for a run that needs more than the value of that limit."""
    more = units()[limit].written(2 * value)
    return f"raise it with --limit {limit}={more}, or {limit} under [limits] in llmspell.toml"
