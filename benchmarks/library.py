"""The cost of the sandbox for computing: the same Lua in a bare state and in a spell."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from lupa import lua55

from llmspell import Limits, Runtime
from llmspell.config import Project
from llmspell.state import MemoryStore

ROUNDS = 7

MIXED = {
    "loops": """
        local sum = 0
        for i = 1, 1500000 do sum = (sum + i * i) % 1000003 end
        return sum""",
    "closures": """
        local function counter() local n = 0 return function(by) n = n + by return n end end
        local total = 0
        for i = 1, 60000 do
          local count = counter()
          for by = 1, 5 do total = total + count(by) end
        end
        return total""",
    "tables": """
        local people = {}
        for i = 1, 15000 do people[#people + 1] = { name = "n" .. i, age = i % 90, tags = { i, i + 1 } } end
        local by_age = {}
        for _, person in ipairs(people) do
          local group = by_age[person.age] or {}
          by_age[person.age] = group
          table.insert(group, person.name)
        end
        local names = 0
        for _, group in pairs(by_age) do names = names + #table.concat(group, ", ") end
        return names""",
    "objects": """
        local Point = {}
        Point.__index = Point
        Point.__add = function(a, b) return setmetatable({ x = a.x + b.x, y = a.y + b.y }, Point) end
        function Point:length() return (self.x ^ 2 + self.y ^ 2) ^ 0.5 end
        local sum, lengths = setmetatable({ x = 0, y = 0 }, Point), 0
        for i = 1, 40000 do
          sum = sum + setmetatable({ x = i, y = -i }, Point)
          lengths = lengths + sum:length()
        end
        return lengths""",
    "building strings": """
        local lines = {}
        for i = 1, 40000 do lines[i] = "line " .. i .. ": " .. ("x"):rep(i % 10) end
        return #table.concat(lines, "\\n")""",
    "sort": """
        local list, seed = {}, 42
        for i = 1, 20000 do seed = (seed * 1103515245 + 12345) % 2147483648 list[i] = seed end
        table.sort(list)
        table.sort(list, function(a, b) return a % 1000 < b % 1000 end)
        return list[1] % 1000""",
    "gsub": """
        local text = ("The quick brown fox jumps over the lazy dog. "):rep(200)
        local words = {}
        for i = 1, 60 do
          text:gsub("%a+", function(word) words[word] = (words[word] or 0) + 1 end)
        end
        return words.fox""",
    "coroutines": """
        local function numbers(n)
          return coroutine.wrap(function() for i = 1, n do coroutine.yield(i) end end)
        end
        local sum = 0
        for i = 1, 1200 do for n in numbers(100) do sum = sum + n end end
        return sum""",
    "pcall": """
        local failures = 0
        for i = 1, 60000 do
          local ok = pcall(function(n) if n % 3 == 0 then error("third") end return n end, i)
          if not ok then failures = failures + 1 end
        end
        return failures""",
}

TEXT = """
    local text = [[
From: Ada Lovelace <ada@example.org>
Date: 2024-05-17 10:30
Subject: Notes on the engine, part 7

The engine weaves algebraical patterns just as the loom weaves flowers and leaves.
It has no pretensions to originate anything; it can do whatever we know how to order it
to perform. See https://example.org/notes?id=7 for 3 tables and 12 figures.
]]
    local lines = {}
    for line in text:gmatch("[^\\n]+") do lines[#lines + 1] = line end
"""

STRINGS = {
    "find": """
        local n = 0
        for i = 1, 6000 do
          if text:find("algebraical", 1, true) then n = n + 1 end
          if text:find("%d+%-%d+%-%d+") then n = n + 1 end
          if text:find("figures%.") then n = n + 1 end
        end
        return n""",
    "match": """
        local n = 0
        for i = 1, 10000 do
          for j = 1, #lines do
            local name, value = lines[j]:match("^(%a+):%s*(.+)$")
            if name then n = n + #value end
          end
          local user, host = text:match("<([%w.]+)@([%w.]+)>")
          n = n + #user + #host
        end
        return n""",
    "gmatch": """
        local n = 0
        for i = 1, 2500 do
          for word in text:gmatch("%a+") do n = n + #word end
        end
        return n""",
    "gsub": """
        local n = 0
        for i = 1, 500 do
          n = n + #text:gsub("%s+", " ") + #text:gsub("[aeiou]", "*") + #text:gsub("(%a+)@(%a+)", "%2 at %1")
        end
        return n""",
    "format": """
        local n = 0
        for i = 1, 15000 do
          n = n + #string.format("%5d %-10s %6.2f", i, "name", i / 7) + #("%s=%s"):format("key", i)
        end
        return n""",
    "rep, sub, upper": """
        local n = 0
        for i = 1, 40000 do
          local line = lines[i % #lines + 1]
          n = n + #("-"):rep(40) + #line:sub(5, 40):upper() + #line:lower()
        end
        return n""",
}

PAGE = """
    local lines = {}
    for i = 1, 60 do
      lines[i] = "Chapter " .. i .. ". The engine weaves algebraical patterns just as the loom weaves flowers."
    end
    local page = table.concat(lines, "\\n") .. "\\nSigned: Ada Lovelace <ada@example.org>, 2024-05-17"
"""

PAGES = {
    "find": """
        local n = 0
        for i = 1, 1500 do
          n = n + page:find("Lovelace", 1, true) + page:find("%d+%-%d+%-%d+") + page:find("Signed:")
        end
        return n""",
    "match": """
        local n = 0
        for i = 1, 1500 do
          local user, host = page:match("<([%w.]+)@([%w.]+)>")
          local last = page:match("Chapter (%d+)%. [^\\n]*\\nSigned")
          n = n + #user + #host + #last
        end
        return n""",
    "gmatch": """
        local n = 0
        for i = 1, 300 do
          for line in page:gmatch("[^\\n]+") do n = n + #line end
          for word in page:gmatch("%a+") do n = n + #word end
        end
        return n""",
    "gsub": """
        local n = 0
        for i = 1, 120 do
          n = n + #page:gsub("%s+", " ") + #page:gsub("[aeiou]", "*") + #page:gsub("(%a+)@(%a+)", "%2 at %1")
        end
        return n""",
    "format": """
        local n = 0
        for i = 1, 15000 do
          n = n + #string.format("Summarise for %s in %d words:\\n%s", "a child", i, page)
        end
        return n""",
    "rep, sub, upper": """
        local n = 0
        for i = 1, 4000 do
          n = n + #("-"):rep(4000) + #page:sub(100, -100):upper() + #page:lower() + #page:reverse()
        end
        return n""",
}

WORKLOADS = (("mixed", MIXED, ""), ("short texts", STRINGS, TEXT), ("pages", PAGES, PAGE))


async def compare(runtime: Runtime, program: str) -> tuple[float, float]:
    """Return the least CPU seconds of a program in a bare state, and in a spell."""
    bare, guarded = [], []
    for _ in range(ROUNDS):
        begin = time.process_time()
        expected = lua55.LuaRuntime(encoding=None).execute(program.encode())
        middle = time.process_time()
        result = await runtime.execute(program)
        guarded.append(time.process_time() - middle)
        bare.append(middle - begin)
        assert result == expected, (result, expected)
    return min(bare), min(guarded)


def total(times: dict[str, tuple[float, float]]) -> tuple[float, float]:
    bare, guarded = zip(*times.values(), strict=True)
    return sum(bare), sum(guarded)


def show(name: str, bare: float, guarded: float) -> None:
    print(f"{name:<20} {bare * 1e3:7.1f} ms {guarded * 1e3:7.1f} ms {guarded / bare:6.2f} x")


async def measure() -> None:
    with TemporaryDirectory() as folder:
        limits = Limits(instructions=10**10, time=60)
        async with Runtime(
            record=False, project=Project(Path(folder)), store=MemoryStore(), limits=limits
        ) as runtime:
            totals = {}
            for title, programs, start in WORKLOADS:
                times = {name: await compare(runtime, start + p) for name, p in programs.items()}
                for name, each in times.items():
                    show(name, *each)
                totals[title] = total(times)
                show(title.upper(), *totals[title])
                print()
            del totals["mixed"]
            show("ALL STRING WORK", *total(totals))


def main() -> None:
    asyncio.run(measure())


if __name__ == "__main__":
    main()
