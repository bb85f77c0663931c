-- Compiles a Lua pattern, and derives from it a bound on the work it may give to C's matcher,
-- which cannot be interrupted and takes exponential time on some.

local part = ...
local guard, config = part("guard"), part("config")
local next, tonumber = next, tonumber
local byte, char, sub = string.byte, string.char, string.sub
local find, gmatch, gsub = string.find, string.gmatch, string.gsub
local concat, floor = table.concat, math.floor
local charge, fail = guard.charge, guard.fail

-- Steps C may take in one call (about 1 ns each), and those so few that they are not charged.
local MAX_STEPS <const> = config.matcher_steps or 5e7
local FREE_STEPS <const> = MAX_STEPS // 500
local MAX_PATTERN <const> = 10000
local MAX_CAPTURES <const> = 32
local MAX_DEPTH <const> = 200 -- of C's matcher
local CACHED_LENGTH <const>, CACHE_SIZE <const> = 100, 200

-- A program is a pattern's items in order, in parallel arrays: `kinds`; `sets`, the bytes an item
-- takes (as keys); and `extra`: a class as written, a capture's number, the two bytes of %b, or
-- what is wrong from here on (said only if matching gets there, as in C).
local quantifiers = { ["?"] = "maybe", ["*"] = "star", ["+"] = "plus", ["-"] = "lazy" }
local zero_width = { open = true, close = true, position = true }
local optional = { maybe = true, star = true, lazy = true }

local every_byte = {}
for i = 0, 255 do
  every_byte[i + 1] = char(i)
end
every_byte = concat(every_byte)

local function clear(cache)
  for key in next, cache do
    cache[key] = nil
  end
end

local sets, sets_cached = {}, 0

-- The bytes that a class such as "a", "%w" or "[^,]" takes.
local function set_of(class)
  local set = sets[class]
  if set then
    return set
  elseif #class == 1 and class ~= "." then
    set = { [byte(class)] = true }
  else
    set = {}
    for c in gmatch(every_byte, class) do
      set[byte(c)] = true
    end
  end
  if sets_cached == CACHE_SIZE then
    clear(sets)
    sets_cached = 0
  end
  sets[class], sets_cached = set, sets_cached + 1
  return set
end

-- The position after the class at i; or nil and what is wrong with it.
local function class_end(p, i)
  local first = sub(p, i, i)
  if first == "%" then
    if i == #p then
      return nil, "malformed pattern (ends with '%')"
    end
    return i + 2
  elseif first ~= "[" then
    return i + 1
  end
  i = sub(p, i + 1, i + 1) == "^" and i + 2 or i + 1
  repeat
    if i > #p then
      return nil, "malformed pattern (missing ']')"
    end
    i = sub(p, i, i) == "%" and i + 2 or i + 1
  until sub(p, i, i) == "]"
  return i + 1
end

-- The functions that add an item return the position after it, or nil when the rest is malformed.

local function add(program, kind, extra, set)
  local n = program.size + 1
  program.size = n
  program.kinds[n], program.extra[n], program.sets[n] = kind, extra, set
end

local function add_class(program, p, i, kind)
  local stop, problem = class_end(p, i)
  if not stop then
    return add(program, "malformed", problem)
  end
  local class = sub(p, i, stop - 1)
  local quantifier = not kind and quantifiers[sub(p, stop, stop)]
  add(program, kind or quantifier or "one", class, set_of(class))
  return quantifier and stop + 1 or stop
end

local function add_opening(program, p, i)
  local number = program.captures + 1
  if number > MAX_CAPTURES then
    return add(program, "malformed", "too many captures")
  end
  program.captures = number
  if sub(p, i + 1, i + 1) == ")" then
    add(program, "position", number)
    return i + 2
  end
  program.open[#program.open + 1] = number
  add(program, "open", number)
  return i + 1
end

local function add_closing(program, i)
  local open = program.open
  local number = open[#open]
  if not number then
    return add(program, "malformed", "invalid pattern capture")
  end
  open[#open] = nil
  add(program, "close", number)
  return i + 1
end

local function is_closed(program, number)
  for _, open in next, program.open do
    if open == number then
      return false
    end
  end
  return number > 0 and number <= program.captures
end

local function add_escape(program, p, i)
  local letter = sub(p, i + 1, i + 1)
  if letter == "b" then
    if i + 3 > #p then
      return add(program, "malformed", "malformed pattern (missing arguments to '%b')")
    end
    add(program, "balance", { byte(p, i + 2, i + 3) })
    return i + 4
  elseif letter == "f" then
    if sub(p, i + 2, i + 2) ~= "[" then
      return add(program, "malformed", "missing '[' after '%f' in pattern")
    end
    return add_class(program, p, i + 2, "frontier")
  elseif find(letter, "%d") then
    local number = tonumber(letter)
    if not is_closed(program, number) then
      return add(program, "malformed", "invalid capture index %" .. letter)
    end
    program.refers_back = true
    add(program, "same", number)
    return i + 2
  end
  return add_class(program, p, i)
end

local function add_item(program, p, i)
  local c = sub(p, i, i)
  if c == "(" then
    return add_opening(program, p, i)
  elseif c == ")" then
    return add_closing(program, i)
  elseif c == "%" then
    return add_escape(program, p, i)
  elseif c == "$" and i == #p then
    add(program, "end")
    return i + 1
  end
  return add_class(program, p, i)
end

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
  if sound and depth < MAX_DEPTH then
    program.limit = floor((MAX_STEPS / unit) ^ (1 / degree)) - degree
    program.free = floor((FREE_STEPS / unit) ^ (1 / degree)) - degree
  end
end

-- Looks at what a match begins with. `first` is what its first byte must be, as a pattern. A loop
-- over every byte that finds no match from one start finds none from a later one.
local function set_start(program)
  local i = 1
  while zero_width[program.kinds[i]] do
    i = i + 1
  end
  local kind, class = program.kinds[i], program.extra[i]
  if kind == "one" or kind == "plus" then
    program.first = class ~= "." and #class == 1 and gsub(class, "%W", "%%%0") or class
  elseif (kind == "star" or kind == "lazy") and class == "." and not program.refers_back then
    program.anchored, program.source = true, "^" .. program.source
  end
end

local function compile(p)
  if #p > MAX_PATTERN then
    fail("pattern too long (more than " .. MAX_PATTERN .. " bytes)")
  end
  charge(20 * #p)
  local program = { kinds = {}, sets = {}, extra = {}, size = 0, captures = 0, open = {}, source = p }
  program.anchored = byte(p, 1) == 94 -- ^
  local i = program.anchored and 2 or 1
  while i and i <= #p do
    i = add_item(program, p, i)
  end
  if not program.anchored then
    set_start(program)
  end
  set_limits(program)
  return program
end

local cache, cached = part("pattern").programs, 0

local function program_of(p)
  local program = cache[p]
  if program then
    return program
  end
  program = compile(p)
  if #p <= CACHED_LENGTH then
    if cached == CACHE_SIZE then
      clear(cache)
      cached = 0
    end
    cache[p], cached = program, cached + 1
  end
  return program
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

-- In the place of a capture that the pattern does not close: an error once it is used.
local UNFINISHED = {}

return { UNFINISHED = UNFINISHED, admit = admit, of = program_of }
