-- string.find, match, gmatch and gsub in general. C matches where its work is known to be small, the
-- matcher in Lua elsewhere. Callbacks are never called from C, so that they may perform effects.

local part = ...
local guard, arguments, program = part("guard"), part("arguments"), part("program")
local select, type, tostring, tonumber, pcall, next = select, type, tostring, tonumber, pcall, next
local byte, sub, find, match, gmatch, gsub =
  string.byte, string.sub, string.find, string.match, string.gmatch, string.gsub
local concat, pack, unpack = table.concat, table.pack, table.unpack
local raw_metatable = debug.getmetatable
local charge, fail, noticed = guard.charge, guard.fail, guard.noticed
local text, integer, start, wrong_type =
  arguments.text, arguments.integer, arguments.start, arguments.wrong_type
local program_of, admit = program.of, part("bounds").admit
local replaced, free_plain = part("pattern").replaced, part("pattern").free_plain

local SPECIALS <const> = "[%^%$%*%+%?%.%(%[%%%-]"
local CARET <const> = 94
local LONG <const> = 100 -- bytes of a pattern
local LITTLE <const> = 1000 -- bytes of a text
local KNOWN <const> = 200 -- plain needles to cache

local known = 0

-- Caches a plain needle for pattern.lua.
local function remember(needle)
  if known == KNOWN then
    for other in next, free_plain do
      free_plain[other] = nil
    end
    known = 0
  end
  free_plain[needle], known = LITTLE, known + 1
end

-- A plain search compares the needle wherever its first byte occurs. C does all of it when that is
-- little work; otherwise C only looks for the needle's head.
local function find_plain(s, needle, at)
  if #s <= LITTLE and #needle <= LONG then
    remember(needle)
  end
  if #s * (#needle + 200) < 2e9 then
    charge(#s // 64 + #s * #needle // 100000)
    return find(s, needle, at, true)
  end
  local head = sub(needle, 1, 16)
  at = find(s, head, at, true)
  while at do
    charge(#needle // 64)
    local stop = at + #needle - 1
    if sub(s, at, stop) == needle then
      return at, stop
    end
    at = find(s, head, at + 1, true)
  end
end

local function finished(compiled, from, ...)
  if from and #compiled.open > 0 then
    fail("unfinished capture")
  end
  return from, ...
end

local function spell_find(s, p, init, plain)
  s, p = text(s, 1, "find"), text(p, 2, "find")
  init = start(init, #s, 3, "find")
  if init > #s + 1 then
    return nil
  elseif plain or (#p > LONG or find(p, ")", 1, true)) and not find(p, SPECIALS) then
    return find_plain(s, p, init)
  end
  local compiled = program_of(p)
  if admit(compiled, s, init) then
    return find(s, compiled.source, init)
  end
  return finished(compiled, part("matcher").seek(compiled, s, init))
end

local function captured(s, from, to, ...)
  if not from then
    return nil
  elseif select("#", ...) == 0 then
    return sub(s, from, to)
  end
  return ...
end

local function spell_match(s, p, init)
  s, p = text(s, 1, "match"), text(p, 2, "match")
  init = start(init, #s, 3, "match")
  local compiled = program_of(p)
  if init > #s + 1 then
    return nil
  elseif admit(compiled, s, init) then
    return match(s, compiled.source, init)
  end
  return captured(s, finished(compiled, part("matcher").seek(compiled, s, init)))
end

-- Whether C may look for all matches of a pattern from a position on. For a pattern that was compiled to
-- a different one, the bound holds for one start only; the result is nil, to ask again for each match.
local function admit_all(compiled, p, s, at)
  if compiled.source == p then
    return admit(compiled, s, at)
  end
end

-- The first match from `at` on: its positions, its first capture and, if there are more captures, all
-- results of `find`, packed. An empty match at `last`, where the previous one ended, does not count.
local function locate(compiled, s, admitted, at, last)
  local source, many = compiled.source, compiled.captures > 1
  if admitted == nil then
    admitted = admit(compiled, s, at)
  end
  repeat
    local from, to, first, results
    if many then
      results = admitted and pack(find(s, source, at)) or pack(part("matcher").seek(compiled, s, at))
      from, to, first = results[1], results[2], results[3]
    elseif admitted then
      from, to, first = find(s, source, at)
    else
      from, to, first = part("matcher").seek(compiled, s, at)
    end
    if not from or to + 1 ~= last then
      return from, to, first, results
    end
    at = at + 1
  until at > #s + 1
end

local function spell_gmatch(s, p, init)
  s, p = text(s, 1, "gmatch"), text(p, 2, "gmatch")
  local at, last = start(init, #s, 3, "gmatch"), nil
  if byte(p, 1) == CARET then -- gmatch has no anchor
    p = "%" .. p
  end
  local compiled = program_of(p)
  local admitted = admit_all(compiled, p, s, at)
  if admitted then
    return gmatch(s, p, at)
  end
  return function()
    local from, to, first, results
    if at <= #s + 1 then
      from, to, first, results = locate(compiled, s, admitted, at, last)
    end
    if not finished(compiled, from) then
      at = #s + 2
      return nil
    end
    at, last = to + 1, to + 1
    if results then
      return unpack(results, 3, results.n)
    end
    return first or sub(s, from, to)
  end
end

-- Expands %0 to %9 in a replacement string.
local function expand(replacement, whole, first, results)
  if not find(replacement, "%", 1, true) then
    return replacement
  end
  return (
    gsub(replacement, "%%(.?)", function(c)
      local number = tonumber(c)
      if c == "%" then
        return "%"
      elseif not number then
        fail("invalid use of '%' in replacement string")
      elseif number == 0 then
        return whole
      end
      local value = results and results[number + 2]
      if number == 1 then
        value = first or whole
      end
      if value == program.UNFINISHED then
        fail("unfinished capture")
      elseif not value then
        fail("invalid capture index %" .. c)
      end
      return value
    end)
  )
end

local function checked(value, whole)
  if not value then
    return whole
  end
  local kind = type(value)
  if kind ~= "string" and kind ~= "number" then
    fail("invalid replacement value (a " .. kind .. ")")
  end
  return value
end

local function replacement_for(whole, first, results, replacement, kind)
  if kind == "string" then
    return expand(replacement, whole, first, results)
  elseif first == program.UNFINISHED then
    fail("unfinished capture")
  elseif kind == "table" then
    return checked(replacement[first or whole], whole)
  elseif results then
    return checked(replacement(unpack(results, 3, results.n)), whole)
  end
  return checked(replacement(first or whole), whole)
end

local function replace_each(compiled, s, admitted, replacement, kind, most, once)
  local pieces, n, count, at = {}, 0, 0, 1
  while count < most do
    local from, to, first, results = locate(compiled, s, admitted, at, count > 0 and at)
    if not from then
      break
    elseif kind == "function" then
      finished(compiled, from)
    end
    pieces[n + 1] = sub(s, at, from - 1)
    pieces[n + 2] = replacement_for(sub(s, from, to), first, results, replacement, kind)
    n, count, at = n + 2, count + 1, to + 1
    if once then
      break
    end
  end
  pieces[n + 1] = sub(s, at)
  return noticed(concat(pieces)), count
end

local function called(f, from, whole, ...)
  if from then
    return from, whole, (f(...))
  end
end

-- Iterates over the matches of a framed pattern: the position of each, the match, and what `f` returns for
-- its captures.
local function calls(compiled, s, f)
  local next_match = gmatch(s, compiled.framed)
  return function()
    return called(f, next_match())
  end
end

-- Like replace_each with a function, using C's iterator where it is admitted. Text that is not replaced is
-- copied together with the text up to the next match.
local function replace_found(compiled, s, replacement, most)
  local pieces, n, count, at = {}, 0, 0, 1
  local many = compiled.captures > 1
  for from, whole, value in many and calls(compiled, s, replacement) or gmatch(s, compiled.framed) do
    if not many then
      value = replacement(value or whole)
    end
    if value then
      if type(value) ~= "string" then
        checked(value)
      end
      n = n + 2
      pieces[n - 1] = sub(s, at, from - 1)
      pieces[n] = value
      at = from + #whole
    end
    count = count + 1
    if count == most then
      break
    end
  end
  pieces[n + 1] = sub(s, at)
  return noticed(concat(pieces)), count
end

local function spell_gsub(s, p, replacement, most)
  s, p = text(s, 1, "gsub"), text(p, 2, "gsub")
  local kind = type(replacement)
  if kind == "number" then
    replacement, kind = tostring(replacement), "string"
  elseif kind ~= "string" and kind ~= "table" and kind ~= "function" then
    wrong_type(replacement, "string/function/table", 3, "gsub")
  end
  most = integer(most, #s + 1, 4, "gsub")
  local compiled = program_of(p)
  local admitted = admit_all(compiled, p, s, 1)
  local calls_nothing = kind == "string" or kind == "table" and not raw_metatable(replacement)
  if admitted then
    if calls_nothing then
      return replaced(pcall(gsub, s, p, replacement, most))
    elseif kind == "function" and compiled.framed and most > 0 then
      return replace_found(compiled, s, replacement, most)
    end
  end
  return replace_each(compiled, s, admitted, replacement, kind, most, byte(p, 1) == CARET)
end

return { find = spell_find, gmatch = spell_gmatch, gsub = spell_gsub, match = spell_match }
