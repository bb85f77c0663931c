-- Matches compiled patterns in Lua, watched by the count hook. It works like C's matcher: same results,
-- same errors, same depth limit; it only skips attempts that are certain to fail.

local part = ...
local guard, UNFINISHED = part("guard"), part("program").UNFINISHED
local error, pcall, next = error, pcall, next
local byte, sub, find, unpack = string.byte, string.sub, string.find, table.unpack
local charge, check, fail = guard.charge, guard.check, guard.fail

local MAX_DEPTH <const> = 200
local IS_POSITION <const> = -1
local LITTLE <const> = 1000 -- bytes not worth a charge

-- The current match; a match calls no user code, so there is only one at a time.
local subject, kinds, sets, extra, runs, sure
local starts, ends = {}, {} -- of the captures

local run

-- The position after the run of bytes that a loop takes from `at` on.
local function run_end(at, item)
  local _, last = find(subject, runs[item], at)
  if last - at > LITTLE then
    charge((last - at) // 32)
  end
  return last + 1
end

local function longest(at, item, depth)
  local stop = run_end(at, item)
  local least = kinds[item] == "plus" and at + 1 or at
  if sure[item] then
    return stop >= least and run(stop, item + 1, depth + 1) or nil
  end
  for from = stop, least, -1 do
    local result = run(from, item + 1, depth + 1)
    if result then
      return result
    end
  end
end

local function shortest(at, item, depth)
  if sure[item] then
    return longest(at, item, depth)
  end
  local set = sets[item]
  repeat
    local result = run(at, item + 1, depth + 1)
    if result then
      return result
    end
    at = at + 1
  until not set[byte(subject, at - 1)]
end

local function balanced(at, pair)
  local opening, closing, level = pair[1], pair[2], 1
  if byte(subject, at) ~= opening then
    return nil
  end
  for i = at + 1, #subject do
    local c = byte(subject, i)
    if c == closing then
      level = level - 1
      if level == 0 then
        return i + 1
      end
    elseif c == opening then
      level = level + 1
    end
  end
end

local function at_frontier(at, set)
  local before = at > 1 and byte(subject, at - 1) or 0
  return not set[before] and set[byte(subject, at) or 0]
end

local function same(at, number)
  local start, stop = starts[number], ends[number]
  if stop == IS_POSITION then
    return nil
  end
  local after = at + stop - start
  charge((stop - start) // 16)
  return sub(subject, at, after - 1) == sub(subject, start, stop - 1) and after or nil
end

-- The position after a match of the items from `item` on that begins at `at`; nil if there is none.
function run(at, item, depth)
  while at do
    if depth > MAX_DEPTH then
      error("pattern too complex", 0)
    end
    local kind = kinds[item]
    if kind == "one" then
      at = sets[item][byte(subject, at)] and at + 1
    elseif kind == nil then
      return at
    elseif kind == "star" or kind == "plus" then
      return longest(at, item, depth)
    elseif kind == "lazy" then
      return shortest(at, item, depth)
    elseif kind == "maybe" then
      local stop = sets[item][byte(subject, at)] and run(at + 1, item + 1, depth + 1)
      if stop then
        return stop
      end
    elseif kind == "open" then
      starts[extra[item]], depth = at, depth + 1
    elseif kind == "close" then
      ends[extra[item]], depth = at, depth + 1
    elseif kind == "position" then
      starts[extra[item]], ends[extra[item]], depth = at, IS_POSITION, depth + 1
    elseif kind == "end" then
      return at > #subject and at
    elseif kind == "frontier" then
      at = at_frontier(at, sets[item]) and at
    elseif kind == "balance" then
      at = balanced(at, extra[item])
    elseif kind == "same" then
      at = same(at, extra[item])
    else
      error(extra[item], 0)
    end
    item = item + 1
  end
end

-- The item that a match begins with, if it is a loop that takes the same run of bytes from any start
-- within the run, and therefore fails from all of them if it fails from one.
local function same_for_all(compiled)
  local begin = compiled.begin
  return sure[begin] and not compiled.refers_back and begin
end

-- The first match at `at` or after it: its start, and the position after it.
local function search(compiled, s, at)
  subject, kinds, sets, extra = s, compiled.kinds, compiled.sets, compiled.extra
  runs, sure = compiled.runs, compiled.sure
  local first, loop = compiled.first, same_for_all(compiled)
  repeat
    at = first and find(s, first, at) or not first and at
    if not at then
      return nil
    end
    local stop = run(at, 1, 1)
    if stop then
      return at, stop
    end
    at = (loop and run_end(at, loop) or at) + 1
  until compiled.anchored or at > #s + 1
end

-- Like string.find with a position from 1 to #s + 1, but see program.UNFINISHED.
local function seek(compiled, s, at)
  local ok, from, stop = pcall(search, compiled, s, at)
  if not ok then
    fail(check(from))
  elseif not from then
    return nil
  end
  subject = nil -- it may be large
  local values = {}
  for i = 1, compiled.captures do
    values[i] = ends[i] == IS_POSITION and starts[i] or sub(s, starts[i], (ends[i] or 0) - 1)
  end
  for _, number in next, compiled.open do
    values[number] = UNFINISHED
  end
  return from, stop - 1, unpack(values, 1, compiled.captures)
end

return { seek = seek }
