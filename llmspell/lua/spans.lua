-- The table library in general, except sort. C handles plain tables, where the cost is known
-- beforehand. Tables with a metatable are handled in Lua, where metamethods may take long and perform
-- effects.

local part = ...
local guard, arguments = part("guard"), part("arguments")
local type, select, pcall, rawlen, rawget, rawequal = type, select, pcall, rawlen, rawget, rawequal
local concat, move, unpack = table.concat, table.move, table.unpack
local min, max = math.min, math.max
local raw_metatable, maxinteger = debug.getmetatable, math.maxinteger
local charge, look, fail, noticed = guard.charge, guard.look, guard.fail, guard.noticed
local text, integer, length = arguments.text, arguments.integer, arguments.length
local bad, wrong_type, settled = arguments.bad, arguments.wrong_type, arguments.settled

local MAX_RANGE <const>, MAX_UNPACKED <const> = 1e7, 1e6
local AT_ONCE <const> = 100 -- values that C moves between two looks at the clock

local function expect_table(t, position, callee)
  if type(t) ~= "table" then
    wrong_type(t, "table", position, callee)
  end
end

-- The number of positions from i to j.
local function count(i, j, problem)
  if i > j then
    return 0
  elseif j - i < 0 or j - i >= MAX_RANGE then
    fail(problem)
  end
  return j - i + 1
end

-- Copies t[i] to t[j] into a plain table.
local function gather(t, i, j)
  local items = {}
  for at = i, j do
    items[at] = t[at]
  end
  return items
end

local function refuse_len(t, callee)
  local metatable = raw_metatable(t)
  if metatable and rawget(metatable, "__len") ~= nil then
    fail("'" .. callee .. "' cannot shift the elements of a table with __len")
  end
end

-- Moves as table.move does, its arguments checked. C moves only some values at a time: the keys of a table
-- may be chosen such that Lua takes a millisecond to find each.
local function moved(from, i, j, at, to)
  local first, last, step = 0, j - i, 1
  if rawequal(from, to) and at > i and at <= j then -- do not overwrite what is still to be moved
    first, last, step = last, first, -1
  end
  if raw_metatable(from) or raw_metatable(to) then
    for offset = first, last, step do
      to[at + offset] = from[i + offset]
    end
    return to
  end
  for offset = first, last, step * AT_ONCE do
    local other = step > 0 and min(offset + AT_ONCE - 1, last) or max(offset - AT_ONCE + 1, last)
    local low = min(offset, other)
    local n = max(offset, other) - low
    charge(n // 4)
    look()
    move(from, i + low, i + low + n, at + low, to)
  end
  return to
end

local function concatenated(ok, result)
  if not ok then
    return settled("concat", ok, result)
  end
  charge(#result // 16)
  return noticed(result)
end

local function spell_concat(t, separator, i, j)
  expect_table(t, 1, "concat")
  separator = separator == nil and "" or text(separator, 2, "concat")
  i = i == nil and 1 or integer(i, nil, 3, "concat")
  j = j == nil and length(t) or integer(j, nil, 4, "concat")
  local n = count(i, j, "range too large")
  if raw_metatable(t) then
    t = gather(t, i, j)
  else
    charge(min(n, rawlen(t)) // 4)
  end
  return concatenated(pcall(concat, t, separator, i, j))
end

local function shift_up(t, position, n, value)
  refuse_len(t, "insert")
  moved(t, position, n - 1, position + 1, t)
  t[position] = value
end

local function spell_insert(t, ...)
  if type(t) ~= "table" then
    wrong_type(t, "table", 1, "insert")
  end
  local given, n = select("#", ...), length(t) + 1
  if given == 1 then
    t[n] = ...
    return
  elseif given ~= 2 then
    fail("wrong number of arguments to 'insert'")
  end
  local position, value = ...
  position = integer(position, nil, 2, "insert")
  if position < 1 or position > n then
    bad(2, "insert", "position out of bounds")
  end
  shift_up(t, position, n, value)
end

local function shift_down(t, position, n)
  refuse_len(t, "remove")
  local value = t[position]
  moved(t, position + 1, n, position, t)
  t[n] = nil
  return value
end

local function spell_remove(t, position)
  if type(t) ~= "table" then
    wrong_type(t, "table", 1, "remove")
  end
  local n = length(t)
  if position == nil then
    position = n
  else
    position = integer(position, nil, 2, "remove")
  end
  if position ~= n and (position < 1 or position > n + 1) then
    bad(2, "remove", "position out of bounds")
  elseif position < n then
    return shift_down(t, position, n)
  end
  local value = t[position]
  t[position] = nil
  return value
end

local function spell_move(from, i, j, at, to)
  to = to == nil and from or to
  expect_table(from, 1, "move")
  i, j, at = integer(i, nil, 2, "move"), integer(j, nil, 3, "move"), integer(at, nil, 4, "move")
  expect_table(to, 5, "move")
  if i > j then
    return to
  elseif i <= 0 and j >= maxinteger + i then
    bad(3, "move", "too many elements to move")
  elseif at > maxinteger - (j - i) then
    bad(4, "move", "destination wrap around")
  end
  if not raw_metatable(from) and not raw_metatable(to) then
    count(i, j, "too many elements to move")
  end
  return moved(from, i, j, at, to)
end

local function spell_unpack(t, i, j)
  if type(t) ~= "table" and not raw_metatable(t) then
    wrong_type(t, "table", 1, "unpack")
  end
  i = integer(i, 1, 2, "unpack")
  j = j == nil and length(t) or integer(j, nil, 3, "unpack")
  local n = count(i, j, "too many results to unpack")
  if n >= MAX_UNPACKED then
    fail("too many results to unpack")
  elseif type(t) ~= "table" or raw_metatable(t) then
    t = gather(t, i, j)
  elseif n > AT_ONCE then
    t, i, j = moved(t, i, j, 1, {}), 1, n
  end
  charge(n // 4)
  return unpack(t, i, j)
end

return {
  concat = spell_concat,
  concatenated = concatenated,
  insert = spell_insert,
  move = spell_move,
  moved = moved,
  remove = spell_remove,
  unpack = spell_unpack,
}
