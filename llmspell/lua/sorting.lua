-- table.sort. C sorts what it can compare without calling anything. The rest is merge-sorted in Lua,
-- where a comparison may take long and perform effects; that is stable, and never quadratic.

local part = ...
local guard, arguments = part("guard"), part("arguments")
local type, rawget, pcall, min, max = type, rawget, pcall, math.min, math.max
local sort, unpack, raw_metatable = table.sort, table.unpack, debug.getmetatable
local moved = part("spans").moved
local charge, fail = guard.charge, guard.fail
local length, settled, wrong_type, bad =
  arguments.length, arguments.settled, arguments.wrong_type, arguments.bad

-- How many items C may sort in one call, and how many bytes of strings it may read.
local MAX_ITEMS <const>, MAX_BYTES <const> = 1e6, 1e6
local MAX_LENGTH <const> = 0x7fffffff
local AT_ONCE <const> = 200 -- values to pass to a function
local RUN <const> = 6 -- items that are sorted faster by insertion than by merging

local function has_order(value)
  local metatable = raw_metatable(value)
  return metatable and rawget(metatable, "__lt") ~= nil
end

local function less(a, b)
  local kind, other = type(a), type(b)
  if kind == other and (kind == "number" or kind == "string") or has_order(a) or has_order(b) then
    return a < b
  elseif kind == other then
    fail("attempt to compare two " .. kind .. " values")
  end
  fail("attempt to compare " .. kind .. " with " .. other)
end

-- Whether all items are numbers. C's `max` accepts nothing else except numeric strings.
local function are_numbers(items, n)
  for i = 1, n, AT_ONCE do
    if not pcall(max, unpack(items, i, min(i + AT_ONCE - 1, n))) then
      return false
    end
  end
  return true
end

local function are_short_strings(items, n)
  local bytes = 0
  for i = 1, n do
    if type(items[i]) ~= "string" then
      return false
    end
    bytes = bytes + #items[i]
  end
  return bytes <= MAX_BYTES
end

-- Whether C may sort the items. Numbers among strings make it fail, but call nothing.
local function suits_c(items, n)
  local kind = type(items[1])
  return n <= MAX_ITEMS
    and (kind == "number" and are_numbers(items, n) or kind == "string" and are_short_strings(items, n))
end

-- Copies from[first .. last] to to[at .. ].
local function copy(from, first, last, to, at)
  for i = first, last do
    to[at] = from[i]
    at = at + 1
  end
end

-- Merges from[left .. middle - 1] and from[middle .. last]; neither is empty.
local function merge(from, to, left, middle, last, before)
  local right, a, b = middle, from[left], from[middle]
  for at = left, last do
    if before(b, a) then
      to[at] = b
      right = right + 1
      if right > last then
        return copy(from, left, middle - 1, to, at + 1)
      end
      b = from[right]
    else
      to[at] = a
      left = left + 1
      if left == middle then
        return copy(from, right, last, to, at + 1)
      end
      a = from[left]
    end
  end
end

-- Sorts items[left .. last] by insertion.
local function insert_each(items, left, last, before)
  for i = left + 1, last do
    local item, at, previous = items[i], i, items[i - 1]
    while before(item, previous) do
      items[at] = previous
      at = at - 1
      if at == left then
        break
      end
      previous = items[at - 1]
    end
    items[at] = item
  end
end

local function merge_sort(items, n, before)
  for left = 1, n, RUN do
    insert_each(items, left, min(left + RUN - 1, n), before)
  end
  local from, to, width = items, {}, RUN
  while width < n do
    for left = 1, n, 2 * width do
      local middle = left + width
      if middle <= n then
        merge(from, to, left, middle, min(middle + width - 1, n), before)
      else
        copy(from, left, n, to, left)
      end
    end
    from, to, width = to, from, 2 * width
  end
  if before(from[n], from[1]) then
    fail("invalid order function for sorting")
  end
  return from
end

return function(t, before)
  if type(t) ~= "table" then
    wrong_type(t, "table", 1, "sort")
  end
  local n = length(t)
  if n < 2 then
    return
  elseif n >= MAX_LENGTH then
    bad(1, "sort", "array too big")
  elseif before ~= nil and type(before) ~= "function" then
    wrong_type(before, "function", 2, "sort")
  end
  local items = moved(t, 1, n, 1, {})
  if not before and suits_c(items, n) then
    charge(5 * n)
    settled("sort", pcall(sort, items))
  else
    items = merge_sort(items, n, before or less)
  end
  moved(items, 1, n, 1, t)
end
