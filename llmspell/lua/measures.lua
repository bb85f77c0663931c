-- Measures the text to match a pattern on: its runs are mostly short, and a match can begin in few
-- places. Both reduce C's work below the bound that the size of the text gives.

local part = ...
local charge = part("guard").charge
local find, floor = string.find, math.floor

local APART <const> = 4 -- the least distance in bytes between two looks

-- Whether every run that `runs` finds from `at` on is shorter than 2 * step bytes. A longer one would
-- contain two of the places checked.
local function are_short(s, at, runs, step)
  for i = 1, #runs do
    for place = at + step - 1, #s, step do
      local _, last = find(s, runs[i], place)
      if last >= place + step then
        return false
      end
    end
  end
  return true
end

-- The number of places from `at` on where a match can begin; 1 if the work from them does not overlap.
local function starts(program, s, at)
  local prefix, size = program.prefix, #s - at + 1
  if not program.overlaps then
    return 1
  elseif not prefix then
    return size
  end
  for n = 0, size // APART do
    at = find(s, prefix, at, true)
    if not at then
      return n
    end
    at = at + 1
  end
  return size
end

-- The number of steps C may need to match a program from a position on, or nil if more than `most`.
local function measure(program, s, at, most)
  local size, narrow = #s - at + 1, program.narrow
  charge(size // 32)
  local power = program.overlaps and program.degree - 1 or program.degree
  local places = starts(program, s, at)
  local steps = program.unit * (size + places * size ^ power)
  if steps <= most then
    return steps
  elseif narrow > 0 then
    steps = program.unit * (size + places * size ^ (power - narrow))
    local step = (most / steps) ^ (1 / narrow) // 2
    if step >= APART and are_short(s, at, program.narrows, floor(step)) then
      return steps * (2 * step) ^ narrow
    end
  end
end

return measure
