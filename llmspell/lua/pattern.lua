-- string.find, match, gmatch and gsub. C matches where its work is known to be small, the matcher
-- in Lua elsewhere. Callbacks are never called from C, so that they may perform effects.

local guard, arguments, program, matcher = ...
local type, select, tostring, tonumber = type, select, tostring, tonumber
local byte, sub, find, match, gmatch, gsub =
  string.byte, string.sub, string.find, string.match, string.gmatch, string.gsub
local concat, pack, unpack = table.concat, table.pack, table.unpack
local math_type, raw_metatable, pcall = math.type, debug.getmetatable, pcall
local charge, check, fail = guard.charge, guard.check, guard.fail
local text, integer, start, wrong_type = arguments.text, arguments.integer, arguments.start, arguments.wrong_type
local programs, program_of, admit = program.cache, program.of, program.admit
local seek, UNFINISHED = matcher.seek, matcher.UNFINISHED

local SPECIALS <const> = "[%^%$%*%+%?%.%(%[%%%-]"

-- A plain search compares the needle at every place where its first byte is. C does it all when
-- that is little work; otherwise it looks for the needle's head only.
local function find_plain(s, needle, at)
  if #s * (#needle + 200) < 2e9 then
    charge(#s // 64)
    return find(s, needle, at, true)
  end
  local head = sub(needle, 1, 16)
  at = find(s, head, at, true)
  while at do
    charge(#needle // 16)
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

local function find_slowly(s, p, init, plain)
  s, p = text(s, 1, "find"), text(p, 2, "find")
  init = start(init, #s, 3, "find")
  if init > #s + 1 then
    return nil
  elseif plain or not find(p, SPECIALS) then
    return find_plain(s, p, init)
  end
  local compiled = program_of(p)
  if admit(compiled, #s) then
    return find(s, compiled.source, init)
  end
  return finished(compiled, seek(compiled, s, init))
end

-- For a known pattern and little text no more is done than to see that it is so.
local function spell_find(s, p, init, plain)
  local compiled = programs[p]
  if
    plain
    or not compiled
    or type(s) ~= "string"
    or #s > compiled.free
    or init ~= nil and math_type(init) ~= "integer"
  then
    return find_slowly(s, p, init, plain)
  end
  return find(s, compiled.source, init)
end

local function captured(s, from, to, ...)
  if not from then
    return nil
  elseif select("#", ...) == 0 then
    return sub(s, from, to)
  end
  return ...
end

local function match_slowly(s, p, init)
  s, p = text(s, 1, "match"), text(p, 2, "match")
  init = start(init, #s, 3, "match")
  local compiled = program_of(p)
  if init > #s + 1 then
    return nil
  elseif admit(compiled, #s) then
    return match(s, compiled.source, init)
  end
  return captured(s, finished(compiled, seek(compiled, s, init)))
end

local function spell_match(s, p, init)
  local compiled = programs[p]
  if
    not compiled
    or type(s) ~= "string"
    or #s > compiled.free
    or init ~= nil and math_type(init) ~= "integer"
  then
    return match_slowly(s, p, init)
  end
  return match(s, compiled.source, init)
end

-- A function that finds the first match from a position on: where it is, and its captures.
local function finder(compiled, s, admitted)
  if not admitted then
    return function(at)
      return seek(compiled, s, at)
    end
  end
  local source = compiled.source
  return function(at)
    return find(s, source, at)
  end
end

-- A function that returns the next match at each call, packed as `find` returns it. An empty one
-- that touches the match before is none.
local function matches(compiled, s, admitted, at)
  local find_from = finder(compiled, s, admitted)
  local last
  return function()
    while at <= #s + 1 do
      local found = pack(find_from(at))
      if not found[1] then
        at = #s + 2
      elseif found[2] + 1 == last then
        at = at + 1
      else
        at = found[2] + 1
        last = at
        return found
      end
    end
  end
end

local function spell_gmatch(s, p, init)
  s, p = text(s, 1, "gmatch"), text(p, 2, "gmatch")
  init = start(init, #s, 3, "gmatch")
  if byte(p, 1) == 94 then -- ^ is no anchor here
    p = "%" .. p
  end
  local compiled = program_of(p)
  local admitted = admit(compiled, #s)
  if admitted and compiled.source == p then
    return gmatch(s, p, init)
  end
  local next_match = matches(compiled, s, admitted, init)
  return function()
    local found = next_match()
    if found then
      return captured(s, finished(compiled, unpack(found, 1, found.n)))
    end
  end
end

-- The replacement string with its %0 to %9 filled in.
local function expand(replacement, whole, found)
  return (gsub(replacement, "%%(.?)", function(c)
    local number = tonumber(c)
    if c == "%" then
      return "%"
    elseif not number then
      fail("invalid use of '%' in replacement string")
    elseif number == 0 or number == 1 and found.n == 2 then
      return whole
    end
    local value = found[number + 2]
    if value == UNFINISHED then
      fail("unfinished capture")
    elseif not value then
      fail("invalid capture index %" .. c)
    end
    return value
  end))
end

local function replacement_for(found, whole, replacement, kind)
  local value, first = nil, found.n > 2 and found[3] or whole
  if kind == "string" then
    return expand(replacement, whole, found)
  elseif first == UNFINISHED then
    fail("unfinished capture")
  elseif kind == "table" then
    value = replacement[first]
  elseif found.n > 2 then
    value = replacement(unpack(found, 3, found.n))
  else
    value = replacement(whole)
  end
  if not value then
    return whole
  elseif type(value) ~= "string" and type(value) ~= "number" then
    fail("invalid replacement value (a " .. type(value) .. ")")
  end
  return value
end

local function replace_each(compiled, s, admitted, replacement, kind, most, once)
  local next_match = matches(compiled, s, admitted, 1)
  local pieces, n, count, copied = {}, 0, 0, 0
  while count < most do
    local found = next_match()
    if not found then
      break
    end
    count = count + 1
    local from, to = found[1], found[2]
    pieces[n + 1] = sub(s, copied + 1, from - 1)
    pieces[n + 2] = replacement_for(found, sub(s, from, to), replacement, kind)
    n, copied = n + 2, to
    if once then
      break
    end
  end
  pieces[n + 1] = sub(s, copied + 1)
  return concat(pieces), count
end

local function replaced(ok, result, count)
  if not ok then
    fail(check(result))
  end
  charge(#result // 16)
  return result, count
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
  local admitted = admit(compiled, #s)
  local calls_nothing = kind == "string" or kind == "table" and not raw_metatable(replacement)
  if admitted and calls_nothing and compiled.source == p then
    return replaced(pcall(gsub, s, p, replacement, most))
  end
  return replace_each(compiled, s, admitted, replacement, kind, most, byte(p, 1) == 94)
end

return { find = spell_find, match = spell_match, gmatch = spell_gmatch, gsub = spell_gsub }
