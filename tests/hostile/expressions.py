"""Generates random Lua expressions for attacks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from random import Random

from vocabulary import GLOBALS, LIBRARY, METAMETHODS, NUMBERS, TEXTS


def quoted(text: str) -> str:
    """Return a Lua string literal on one line."""
    try:
        data = text.encode("latin-1")
    except UnicodeEncodeError:
        data = text.encode()
    plain = set(range(32, 127)) - set(b'"\\')
    return '"' + "".join(chr(b) if b in plain else f"\\{b:03}" for b in data) + '"'


def long_text(rng: Random) -> str:
    unit = rng.choice(("a", "ab", "\0", "a,", "\n", "(", "%s", "{", "é"))
    times = rng.choice((50, 3000, 200_000))
    return f"({quoted(unit)}):rep({times})"


class Expressions(ABC):
    """Generates random expressions. `depth` is how deeply they may still be nested."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.pick = rng.choice

    @abstractmethod
    def statement(self, depth: int) -> str:
        """Generate what a function does before it returns."""

    def value(self, depth: int) -> str:
        if depth <= 0:
            return self.pick((self.number, self.text, self.kept))()
        kinds = (
            self.number,
            self.text,
            self.kept,
            self.table,
            self.function,
            self.object,
            self.odd,
        )
        make = self.rng.choices(kinds, (2, 3, 3, 4, 3, 3, 2))[0]
        return make(depth)

    def number(self, depth: int = 0) -> str:
        return f"({self.pick(NUMBERS)})"

    def text(self, depth: int = 0) -> str:
        if depth > 0 and self.rng.random() < 0.1:
            return long_text(self.rng)
        return f"({quoted(self.pick(TEXTS))})"

    def kept(self, depth: int = 0) -> str:
        return f"V[{self.rng.randint(1, 9)}]"

    def key(self) -> str:
        return self.pick((self.number(), self.text(), self.text(), self.kept(), "{}"))

    def table(self, depth: int) -> str:
        shape = self.rng.randrange(7)
        if shape == 0:
            return "(function() local t = {} t.t = t t[1] = t return t end)()"
        if shape == 1:
            deep = self.pick((10, 63, 64, 65, 200, 20_000))
            return f"(function() local t = {{}} for i = 1, {deep} do t = {{t}} end return t end)()"
        if shape == 2:
            wide = self.pick((100, 10_000, 100_000))
            key = self.pick(("i", "'k' .. i", "-i", "i + 0.5", "{}"))
            return f"(function() local t = {{}} for i = 1, {wide} do t[{key}] = {self.value(0)} end return t end)()"
        items = [self.value(depth - 1) for _ in range(self.rng.randint(0, 4))]
        if shape == 3:
            return "{" + ", ".join(items) + "}"
        # A key may be nil or NaN: then constructing the table fails halfway.
        named = [f"[{self.key()}] = {item}" for item in items]
        return "{" + ", ".join(named) + "}"

    def object(self, depth: int) -> str:
        """Generate a table whose metamethods lie, fail, yield, perform effects or never return."""
        names = self.rng.sample(METAMETHODS, self.rng.randint(1, 4))
        parts = []
        for name in names:
            behaviour = self.pick((self.function, self.function, self.value))
            parts.append(f"{name} = {behaviour(depth - 1)}")
        return f"setmetatable({self.table(depth - 1)}, {{{', '.join(parts)}}})"

    def function(self, depth: int) -> str:
        shape = self.rng.randrange(6)
        if shape == 0:
            return self.pick(LIBRARY)
        if shape == 1:
            return f"coroutine.wrap({self.function(depth - 1)})" if depth > 0 else "coroutine.yield"
        if depth <= 0:
            return f"function(...) return {self.pick(('...', 'true', 'nil', 'V', '1', 'error(...)'))} end"
        return f"function(...) {self.statement(depth - 1)} return {self.value(depth - 1)} end"

    def odd(self, depth: int) -> str:
        return self.pick(
            (
                *GLOBALS,
                *("nil", "true", "false", "coroutine.running()", "JSON.null"),
                f"coroutine.create({self.function(depth - 1)})",
                f"select('#', {self.value(depth - 1)})",
                f"({self.operation(depth - 1)})",
                f"{self.pick(LIBRARY)}",
            )
        )

    def operation(self, depth: int) -> str:
        a, b = self.value(depth), self.value(depth)
        operator = self.pick(
            ("..", "+", "//", "%", "^", "<<", "&", "==", "<", "<=", "~=", "and", "or")
        )
        return self.pick((f"{a} {operator} {b}", f"#{a}", f"-{a}", f"~{a}", f"not {a}"))

    def arguments(self, depth: int, most: int = 4) -> str:
        return ", ".join(self.value(depth - 1) for _ in range(self.rng.randint(0, most)))

    def call(self, depth: int) -> str:
        if self.rng.random() < 0.2:
            return f"({self.kept()})({self.arguments(depth)})"
        return f"{self.pick(LIBRARY)}({self.arguments(depth)})"
