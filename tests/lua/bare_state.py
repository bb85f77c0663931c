"""A Lua state with the guarded library and a minimal driver: one task, no host.

The driver yields one small integer, as the kernel does; the memory limit applies only during the
resume. A spell gets `park()`, which stands for an effect: it suspends the task, and the driver
resumes it at once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from lupa import lua55

PARTS = tuple(path.name[:-4] for path in files("llmspell.lua").iterdir() if path.suffix == ".lua")

DRIVER = """
local chunks, config, mailbox = ...
local load, assert, pcall, next = load, assert, pcall, next
local yield, status = coroutine.yield, coroutine.status
local type, select, concat, format = type, select, table.concat, string.format
local coroutine = coroutine
local math_type, rawlen, rawget = math.type, rawlen, rawget

local made = { config = config }
local function part(name)
  made[name] = made[name] or assert(load(chunks[name], "=" .. name, "b", _ENV))(part)
  return made[name]
end

local guard, parking, protected = part("guard"), part("parking"), part("protection").pcall
local new_caller = part("protection").new_caller
local env, tostring = part("library").env, part("basics").tostring
local load_text = part("loading").load -- the spell may remove its globals
env.load = load_text

local parked = 0
function env.park()
  if not coroutine.isyieldable() or select(2, parking.park()) then
    guard.fail("cannot park here")
  end
  parked = parked + 1
  return parked
end
env.can_park = coroutine.isyieldable
local printed = 0
function env.print(...)
  printed = printed + 1
  if printed > 1000 then
    guard.kill("output", "output limit exceeded")
  end
end
env.format_date, env.time_of, env.explain = part("dates").format_date, part("dates").time_of, part("hints")

-- Tasks of the spell's own, resumed one after another by the driver.
local tasks, cancelled = {}, {}
function env.spawn(f)
  tasks[#tasks + 1] = parking.create(function()
    return new_caller(tostring)(f)
  end)
  return tasks[#tasks]
end
function env.cancel(co)
  cancelled[co] = true
end

-- A value as Python would write it.
local function show(value, depth)
  local kind = type(value)
  if kind == "nil" then
    return "None"
  elseif kind == "boolean" then
    return value and "True" or "False"
  elseif kind == "string" then
    return "'" .. value .. "'"
  elseif math_type(value) == "float" then
    return value == value and format("%.17g", value) .. "f" or "nan"
  elseif kind ~= "table" then
    return tostring(value)
  elseif depth == 0 then
    guard.fail("nested too deeply")
  end
  local items, list = {}, rawlen(value)
  for i = 1, list do
    items[i] = show(rawget(value, i), depth - 1)
  end
  for key, item in next, value do
    if math_type(key) ~= "integer" or key < 1 or key > list then
      items[#items + 1] = show(key, depth - 1) .. ": " .. show(item, depth - 1)
    end
  end
  return (#items > list and "{" or "[") .. concat(items, ", ") .. (#items > list and "}" or "]")
end

local function run(source, name)
  local f, message = load_text(source, name)
  if not f then
    return "error: " .. tostring(message)
  end
  local function collect(ok, ...)
    if not ok then
      return "error: " .. tostring((...))
    end
    local shown = {}
    for i = 1, select("#", ...) do
      shown[i] = show((select(i, ...)), 32)
    end
    return concat(shown, ", ")
  end
  local ok, text = protected(function()
    return collect(protected(f))
  end)
  return ok and text or "error: " .. tostring(text)
end

local function drive(co)
  while true do
    parking.inside = false
    local alive, tag = coroutine.resume(co)
    if not alive or status(co) == "dead" then
      return tag
    elseif tag ~= parking.PARK then
      return "error: yielded to the driver"
    end
    for other in next, cancelled do
      cancelled[other] = nil
      parking.inside = other
      coroutine.close(other)
    end
    for i = 1, #tasks do
      if status(tasks[i]) == "suspended" then
        parking.inside = false
        coroutine.resume(tasks[i])
      end
    end
  end
end

local function main()
  while true do
    local instructions, seconds = mailbox.instructions, mailbox.seconds
    guard.refuel(instructions, seconds)
    local source, name = mailbox.source, mailbox.name
    local co = parking.create(function()
      return run(source, name)
    end)
    mailbox.result = drive(co)
    mailbox.fuel, mailbox.printed = guard.fuel(), printed
    mailbox.limit, mailbox.reason, mailbox.where, mailbox.stack = guard.killed()
    yield(1)
  end
end

part("lockdown")
return main
"""


@dataclass
class Outcome:
    """The outcome of a spell: its values or error as text, or the limit that killed it."""

    raw: bytes
    limit: str | None
    reason: str | None
    where: str | None
    seconds: float  # of CPU
    fuel: float
    printed: int

    @property
    def text(self) -> str:
        return self.raw.decode(errors="replace")

    @property
    def kind(self) -> str:
        if self.limit:
            return "killed"
        return "error" if self.text.startswith("error: ") else "value"


def _deny(*_: Any) -> None:
    raise AttributeError("no access")


def new_state() -> Any:
    return lua55.LuaRuntime(
        encoding=None,
        register_eval=False,
        register_builtins=False,
        attribute_handlers=(_deny, _deny),
        max_memory=0,
    )


@cache
def compiled(source: str, name: str) -> bytes:
    dump = b"local source, name = ... return string.dump(assert(load(source, name, 't')), true)"
    return bytes(new_state().execute(dump, source.encode(), f"={name}".encode()))


@cache
def part(name: str) -> bytes:
    return compiled(files("llmspell.lua").joinpath(f"{name}.lua").read_text("utf-8"), name)


class BareState:
    """A guarded state. `config` is passed to the parts unchanged."""

    def __init__(self, **config: Any) -> None:
        self.lua = new_state()
        self.mailbox = self.lua.table()
        chunks = self.lua.table_from({name.encode(): part(name) for name in PARTS})
        settings = self.lua.table_from({key.encode(): value for key, value in config.items()})
        main = self.lua.execute(
            compiled(DRIVER, "driver"), chunks, settings, self.mailbox, name=b"=driver", mode=b"b"
        )
        self.root = main.coroutine()

    def run(
        self,
        source: str | bytes,
        *,
        instructions: float = 50e6,
        memory: int = 16 << 20,
        seconds: float = 10,
        name: str = "=spell.lua",
    ) -> Outcome:
        box = self.mailbox
        box[b"source"] = source.encode() if isinstance(source, str) else source
        box[b"name"], box[b"instructions"], box[b"seconds"] = name.encode(), instructions, seconds
        begin = time.process_time()
        self.lua.set_max_memory(memory)
        try:
            self.root.send(None)
        except lua55.LuaError as error:
            self.lua.set_max_memory(0)
            return Outcome(
                str(error).encode(),
                "memory",
                "in the driver",
                None,
                time.process_time() - begin,
                0,
                0,
            )
        finally:
            self.lua.set_max_memory(0)
        seconds_taken = time.process_time() - begin
        limit, reason, where = (box[key] for key in (b"limit", b"reason", b"where"))
        return Outcome(
            box[b"result"] if isinstance(box[b"result"], bytes) else b"",
            limit and limit.decode(),
            reason and reason.decode(),
            where and where.decode(),
            seconds_taken,
            box[b"fuel"],
            box[b"printed"],
        )


def run(source: str | bytes, **options: Any) -> Outcome:
    """Run a spell in a new state."""
    return BareState(seed=1).run(source, **options)
