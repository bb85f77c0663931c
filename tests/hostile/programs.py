"""Programs that attack the sandbox, generated from a number.

Lines can be removed one by one to find those that matter: a program that then does not compile is
not a failure.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

from grammar import Grammar
from vocabulary import TEXTS, TOOLS

BREACH = "BREACH: "

# Every program begins with this. `V` holds values to attack with; `look` reports values that no
# spell may ever hold: a userdata, or a Lua function that the sandbox removes.
PRELUDE = f"""\
local P, V, print, type, next, metatable = pcall, {{}}, print, type, next, getmetatable
local absent = {{popen = 1, getinfo = 1, sethook = 1, setupvalue = 1, loadlib = 1, tmpname = 1, dump = 1}}
local function look(value, depth, seen)
  if type(value) == "userdata" then print("{BREACH}a userdata") end
  if type(value) ~= "table" or seen[value] or depth > 5 then return end
  seen[value] = true
  for key, item in next, value do
    if absent[key] and type(item) == "function" then print("{BREACH}" .. key) end
    look(key, depth + 1, seen) look(item, depth + 1, seen)
  end
  look(metatable(value), depth + 1, seen)
end
if P(setmetatable, {{}}, {{__gc = P}}) then print("{BREACH}a finalizer") end
if load("\\27Lua", "x", "b") or P(load, "x", "x", "b") and load("x", "x", "b") then print("{BREACH}bytecode") end"""

EPILOGUE = "P(look, {_G, V, _ENV, params, arg}, 0, {})"


@dataclass(frozen=True)
class Program:
    """A hostile spell, its limits, and the replies of the models it asks."""

    lines: tuple[str, ...]
    limits: dict[str, int] = field(default_factory=dict)
    replies: tuple[Any, ...] = ()

    @property
    def source(self) -> str:
        return "\n".join(self.lines)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Program:
        return cls(tuple(fields["lines"]), fields["limits"], tuple(fields["replies"]))


def program(seed: int) -> Program:
    """Generate the program of a number."""
    rng = Random(seed)
    grammar = Grammar(rng)
    statements = [grammar.fragment() for _ in range(rng.randint(1, 8))]
    ending = rng.choice((EPILOGUE, f"return {grammar.value(3)}", f"error({grammar.value(3)}, 0)"))
    source = "\n".join([PRELUDE, *statements, EPILOGUE, ending])
    return Program(
        lines=tuple(source.split("\n")),
        limits={
            "memory": rng.choice((16 << 20, 16 << 20, 4 << 20, 1 << 20)),
            "instructions": rng.choice((2_000_000, 2_000_000, 100_000)),
            "time": 2,
            "effects": 200,
            "output": rng.choice((100_000, 1000)),
            "message": rng.choice((1 << 20, 1 << 20, 10_000, 500)),
        },
        replies=tuple(_reply(rng) for _ in range(rng.randint(1, 3))),
    )


def _reply(rng: Random) -> Any:
    """Generate a hostile model's reply: a text, or `(tool, arguments)`."""
    if rng.random() < 0.5:
        return rng.choice(TEXTS)
    name = rng.choice((*TOOLS, "made", "", "no such tool"))
    arguments = {
        key: rng.choice((*TEXTS, 0, -1, 1e308, None, [], {}, [[[]]], 1 << 70))
        for key in TOOLS.get(name, ("a", "b"))
    }
    return name, arguments
