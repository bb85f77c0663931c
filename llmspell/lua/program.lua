-- Compiles Lua patterns.

local part = ...
local guard, bounds = part("guard"), part("bounds")
local next, tonumber = next, tonumber
local byte, char, sub = string.byte, string.char, string.sub
local find, gmatch, gsub = string.find, string.gmatch, string.gsub
local concat = table.concat
local charge, fail = guard.charge, guard.fail

local MAX_PATTERN <const> = 10000
local MAX_CAPTURES <const> = 32
local MAX_PREFIX <const> = 16
local CACHED_LENGTH <const>, CACHE_SIZE <const> = 100, 200

-- A program consists of a pattern's items in parallel arrays: `kinds`; `sets`, the bytes an item accepts
-- (as keys); and `extra`: a class as written, a capture's number, the two bytes of %b, or the error of a
-- malformed rest (raised only if matching gets there, as in C).
local quantifiers = { ["?"] = "maybe", ["*"] = "star", ["+"] = "plus", ["-"] = "lazy" }
local zero_width = bounds.zero_width

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

-- The set of bytes that a class such as "a", "%w" or "[^,]" accepts.
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

-- The position after the class at i; or nil and the error.
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

-- The literal bytes that every match begins with, up to MAX_PREFIX.
local function prefix_of(program)
  local prefix = ""
  for i = 1, program.size do
    local kind, class = program.kinds[i], program.extra[i]
    if kind == "one" and (#class == 1 and class ~= "." or find(class, "^%%%W$")) then
      prefix = prefix .. sub(class, -1)
    elseif not zero_width[kind] then
      break
    end
  end
  return #prefix > 0 and sub(prefix, 1, MAX_PREFIX) or nil
end

-- Examines the beginning of a match: the item number `begin`. `first` is a pattern for its first byte. A
-- loop over every byte that finds no match from one start finds none from a later one, so it is anchored.
local function set_start(program)
  local i = 1
  while zero_width[program.kinds[i]] do
    i = i + 1
  end
  local kind, class = program.kinds[i], program.extra[i]
  program.begin, program.prefix = i, prefix_of(program)
  if kind == "one" or kind == "plus" then
    program.first = class ~= "." and #class == 1 and gsub(class, "%W", "%%%0") or class
  elseif (kind == "star" or kind == "lazy") and class == "." and not program.refers_back then
    program.anchored, program.source = true, "^" .. program.source
  end
end

-- Sets `framed`, if possible: the pattern with two more captures before its own, the position of a match
-- and the match.
local function set_frame(program)
  local last = program.kinds[program.size]
  if
    program.size > 0
    and last ~= "end"
    and last ~= "malformed"
    and not (program.anchored or program.refers_back)
    and program.captures <= MAX_CAPTURES - 2
  then
    program.framed = "()(" .. program.source .. ")"
  end
end

local function compile(p)
  if #p > MAX_PATTERN then
    fail("pattern too complex (more than " .. MAX_PATTERN .. " bytes)")
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
  bounds.set(program)
  set_frame(program)
  return program
end

local cache, cached = {}, 0
local free, free_anywhere = part("pattern").free, part("pattern").free_anywhere

local function program_of(p)
  local program = cache[p]
  if program then
    return program
  end
  program = compile(p)
  if #p <= CACHED_LENGTH then
    if cached == CACHE_SIZE then
      clear(cache)
      clear(free)
      clear(free_anywhere)
      cached = 0
    end
    cache[p], cached = program, cached + 1
    if program.source == p then
      free[p] = program.free
      free_anywhere[p] = not program.anchored and program.free or nil
    end
  end
  return program
end

-- Stands for a capture that the pattern does not close; using it is an error.
local UNFINISHED = {}

return { UNFINISHED = UNFINISHED, of = program_of }
