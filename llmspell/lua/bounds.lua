-- A bound on the work that a compiled pattern may give to C's matcher, which cannot be interrupted and
-- takes exponential time on some.

local part = ...
local config, charge = part("config"), part("guard").charge
local next, floor = next, math.floor

-- Steps C may take in one call (about 1 ns each), and those so few that they are not charged.
local MAX_STEPS <const> = config.matcher_steps or 5e7
local FREE_STEPS <const> = MAX_STEPS // 500
local MAX_DEPTH <const> = 200 -- of C's matcher

local zero_width = { open = true, close = true, position = true }
local optional = { maybe = true, star = true, lazy = true }

local function disjoint(a, b)
  for c in next, a do
    if b[c] then
      return false
    end
  end
  return true
end

-- Can the items from `item` on fail to match, wherever they begin?
local function can_fail(program, item)
  local takes_all = false -- a loop over every byte came before
  for i = item, program.size do
    local kind = program.kinds[i]
    if kind == "end" then
      return not takes_all
    elseif not (optional[kind] or zero_width[kind]) then
      return true
    end
    takes_all = takes_all or kind ~= "maybe" and program.extra[i] == "."
  end
  return false
end

-- Do the items from `item` on fail at their first look, wherever a byte of `set` comes next?
local function fails_at_once(program, item, set)
  for i = item, program.size do
    local kind = program.kinds[i]
    if optional[kind] then
      if not disjoint(set, program.sets[i]) then
        return false
      end
    elseif kind == "one" or kind == "plus" or kind == "frontier" then
      return disjoint(set, program.sets[i])
    elseif kind == "balance" then
      return not set[program.extra[i][1]]
    elseif not zero_width[kind] then
      return kind == "end"
    end
  end
  return false
end

-- How C's work on n bytes grows: it takes at most some `unit` * n^degree steps. A step belongs to
-- a start, a number of repetitions for each loop whose number is in doubt, and a position; each
-- lies no earlier than the one before, hence the division by degree!.
local function growth(program)
  local doubtful, linear, unit, choices, depth = 0, 0, 2, 1, 1
  for i = 1, program.size do
    local kind, set = program.kinds[i], program.sets[i]
    local retried = set and kind ~= "one" and kind ~= "frontier" and can_fail(program, i + 1)
    local in_doubt = retried and not fails_at_once(program, i + 1, set)
    if kind == "maybe" then
      choices = in_doubt and choices * 2 or choices
    elseif in_doubt then
      doubtful = doubtful + 1
    elseif retried or kind == "balance" or kind == "same" then
      linear = 1
    end
    unit = set and unit + 1 + #program.extra[i] // 4 or unit
    depth = kind == "one" and depth or depth + 1
  end
  local degree = doubtful + linear
  if degree > 0 and not program.anchored then
    degree = degree + 1
  end
  unit = unit * choices
  for i = 2, degree do
    unit = unit / i
  end
  return degree == 0 and 1 or degree, unit, depth
end

-- `limit` is the longest subject that C may match, `free` the longest that costs nothing extra.
local function set_limits(program)
  local degree, unit, depth = growth(program)
  program.degree, program.limit, program.free = degree, -1, -1
  local sound = program.kinds[program.size] ~= "malformed" and #program.open == 0
  if sound and depth < MAX_DEPTH - 2 then -- captures may be put around it
    program.limit = floor((MAX_STEPS / unit) ^ (1 / degree)) - degree
    program.free = floor((FREE_STEPS / unit) ^ (1 / degree)) - degree
  end
end

-- May C match this program on so many bytes? Takes the price if so.
local function admit(program, size)
  if size <= program.free then
    return true
  elseif size > program.limit then
    return false
  end
  charge(MAX_STEPS / 2000 * (size / program.limit) ^ program.degree // 1)
  return true
end

return { admit = admit, set = set_limits, zero_width = zero_width }
