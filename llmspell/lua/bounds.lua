-- Bounds the work that a compiled pattern may give to C's matcher, which cannot be interrupted and takes
-- exponential time on some. The size of the text gives one bound; measures.lua may find a better one.

local part = ...
local config, charge = part("config"), part("guard").charge
local measure = part("measures")
local next, floor, max, huge = next, math.floor, math.max, math.huge

-- The steps C may take in one call (about 5 ns each), the number of steps too small to charge, and the
-- number that costs as much as an instruction. Charging makes the kill switch look at the clock.
local MAX_STEPS <const> = config.matcher_steps or 2e7
local FREE_STEPS <const> = MAX_STEPS // 32
local STEPS_CHARGED <const> = 2000
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

-- Whether the items from `item` on can fail to match, wherever they begin.
local function can_fail(program, item)
  local takes_all = false -- whether a loop over every byte came before
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

-- Whether the items from `item` on fail immediately wherever the next byte is in `set`.
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

local loops = { star = true, plus = true, lazy = true }

-- Examines the loops. `runs` is a pattern for the longest run that a loop takes. C tries a loop at each
-- length: it is `retried` if the rest can fail, and `in_doubt` if the rest may not fail immediately. A
-- loop that is `sure` need only be tried at its longest.
local function set_loops(program)
  program.runs, program.sure = {}, {}
  program.in_doubt, program.retried = {}, {}
  for i = 1, program.size do
    local kind, set = program.kinds[i], program.sets[i]
    if loops[kind] or kind == "maybe" then
      local retried = can_fail(program, i + 1)
      local in_doubt = retried and not fails_at_once(program, i + 1, set)
      program.retried[i], program.in_doubt[i] = retried, in_doubt
      if loops[kind] then
        program.runs[i] = "^" .. program.extra[i] .. "*"
        program.sure[i] = not in_doubt and (retried or kind ~= "lazy")
      end
    end
  end
end

-- Whether C looks at different bytes from each start. This holds if a match begins with a byte that no
-- other item takes, except perhaps the last: all bytes looked at then lie before the next start.
local function are_starts_apart(program)
  local begin = program.begin
  local set = program.kinds[begin] == "one" and program.sets[begin]
  for i = begin + 1, program.size do
    local kind, other = program.kinds[i], program.sets[i]
    local takes = kind ~= "frontier" and other and not (kind == "one" and i == program.size)
    if not set or kind == "balance" or kind == "same" or takes and not disjoint(set, other) then
      return false
    end
  end
  return set
end

-- Sets how C's work on n bytes grows: it takes at most `unit` * n^degree steps. A step is determined by
-- a start, a number of repetitions for each loop in doubt, and a position. `narrow` of the degree are
-- due to loops that take runs of certain bytes only, the patterns in `narrows`.
local function set_growth(program)
  local doubtful, linear, narrow, wide = 0, 0, 0, false
  local unit, choices, depth, narrows = 2, 1, 1, {}
  for i = 1, program.size do
    local kind = program.kinds[i]
    local run = program.extra[i] ~= "." and program.runs[i]
    if kind == "maybe" then
      choices = program.in_doubt[i] and choices * 2 or choices
    elseif program.in_doubt[i] then
      doubtful, narrow = doubtful + 1, run and narrow + 1 or narrow
    elseif program.retried[i] or kind == "balance" or kind == "same" then
      linear, wide = 1, wide or not run
    end
    narrows[#narrows + 1] = program.retried[i] and run or nil
    unit = program.sets[i] and unit + 1 + #program.extra[i] // 4 or unit
    depth = kind == "one" and depth or depth + 1
  end
  program.degree, program.narrow = doubtful + linear, wide and narrow or narrow + linear
  program.overlaps = program.degree > 0 and not (program.anchored or are_starts_apart(program))
  if program.overlaps then
    program.degree = program.degree + 1
  end
  program.unit, program.depth, program.narrows = unit * choices, depth, narrows
end

-- `limit` is the longest text that C may match without measuring it, `free` the longest that costs
-- nothing extra. The positions of a step are in ascending order, hence the division by degree!.
local function set_limits(program)
  set_loops(program)
  set_growth(program)
  local malformed = program.kinds[program.size] == "malformed" or #program.open > 0
  program.sound = not malformed and program.depth < MAX_DEPTH - 4 -- captures may be added around it
  local power, share = max(program.degree, 1), program.unit
  for i = 2, power do
    share = share / i
  end
  program.power, program.share, program.limit, program.free = power, share, -huge, -huge
  if program.sound then
    program.limit = floor((MAX_STEPS / share) ^ (1 / power)) - power
    program.free = floor((FREE_STEPS / share) ^ (1 / power)) - power
  end
end

-- Whether C may match this program on a text from a position on; if so, charges for it.
local function admit(program, s, at)
  local size = #s - at + 1
  if size <= program.free then
    return true
  end
  local steps
  if size <= program.limit then
    steps = program.share * size ^ program.power
  elseif program.sound then
    steps = measure(program, s, at, MAX_STEPS)
  end
  if steps then
    charge(steps // STEPS_CHARGED)
    return true
  end
  return false
end

return { admit = admit, set = set_limits, zero_width = zero_width }
