-- string.find, match, gmatch and gsub. C matches where its work is known to be small, the matcher
-- in Lua elsewhere. Callbacks are never called from C, so that they may perform effects.

local guard, arguments, program, matcher = ...
local type, select, tostring, tonumber = type, select, tostring, tonumber
local byte, sub, find, match, gmatch, gsub =
  string.byte, string.sub, string.find, string.match, string.gmatch, string.gsub
local concat, pack, unpack = table.concat, table.pack, table.unpack
local math_type, raw_metatable, pcall = math.type, debug.getmetatable, pcall
local charge, check, fail = guard.charge, guard.check, guard.fail
local text, integer, start, wrong_type =
  arguments.text, arguments.integer, arguments.start, arguments.wrong_type
local programs, program_of, admit = program.cache, program.of, program.admit
local seek, UNFINISHED = matcher.seek, matcher.UNFINISHED

local SPECIALS <const> = "[%^%$%*%+%?%.%(%[%%%-]"
local CARET <const> = 94
local LITTLE <const> = 1000 -- bytes not worth a charge

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

local function find_slowly(s, p, init, plain)
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

-- For little text, and a pattern that is known or none, no more is done than to see that it is so.
local function spell_find(s, p, init, plain)
  if type(s) == "string" and (init == nil or math_type(init) == "integer") then
    local compiled = programs[p]
    if plain and #s <= LITTLE and type(p) == "string" and #p <= LITTLE then
      return find(s, p, init, true)
    elseif compiled and not plain and (#s <= compiled.free or admit(compiled, #s)) then
      return find(s, compiled.source, init)
    end
  end
  s, p = text(s, 1, "find"), text(p, 2, "find")
  return find_slowly(s, p, init, plain)
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
  if compiled and type(s) == "string" and (init == nil or math_type(init) == "integer") then
    if #s <= compiled.free or admit(compiled, #s) then
      return match(s, compiled.source, init)
    end
  end
  s, p = text(s, 1, "match"), text(p, 2, "match")
  return match_slowly(s, p, init)
end

-- The first match from `at` on: where it is, its first capture, and all that `find` returns,
-- packed, when there are more. An empty match is none at `last`, where the one before ended.
local function locate(compiled, s, admitted, at, last)
  local source, many = compiled.source, compiled.captures > 1
  repeat
    local from, to, first, found
    if many then
      found = admitted and pack(find(s, source, at)) or pack(seek(compiled, s, at))
      from, to, first = found[1], found[2], found[3]
    elseif admitted then
      from, to, first = find(s, source, at)
    else
      from, to, first = seek(compiled, s, at)
    end
    if not from or to + 1 ~= last then
      return from, to, first, found
    end
    at = at + 1
  until at > #s + 1
end

local function gmatch_slowly(s, p, init)
  local at, last = start(init, #s, 3, "gmatch"), nil
  if byte(p, 1) == CARET then -- no anchor here
    p = "%" .. p
  end
  local compiled = programs[p] or program_of(p)
  local admitted = admit(compiled, #s)
  if admitted and compiled.source == p then
    return gmatch(s, p, at)
  end
  return function()
    local from, to, first, found
    if at <= #s + 1 then
      from, to, first, found = locate(compiled, s, admitted, at, last)
    end
    if not finished(compiled, from) then
      at = #s + 2
      return nil
    end
    at, last = to + 1, to + 1
    if found then
      return unpack(found, 3, found.n)
    end
    return first or sub(s, from, to)
  end
end

local function spell_gmatch(s, p, init)
  local compiled = programs[p]
  if compiled and init == nil and type(s) == "string" and #s <= compiled.free then
    if compiled.source == p and not compiled.anchored then
      return gmatch(s, p)
    end
  end
  s, p = text(s, 1, "gmatch"), text(p, 2, "gmatch")
  return gmatch_slowly(s, p, init)
end

-- The replacement string with its %0 to %9 filled in.
local function expand(replacement, whole, first, found)
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
      local value = found and found[number + 2]
      if number == 1 then
        value = first or whole
      end
      if value == UNFINISHED then
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

local function replacement_for(whole, first, found, replacement, kind)
  if kind == "string" then
    return expand(replacement, whole, first, found)
  elseif first == UNFINISHED then
    fail("unfinished capture")
  elseif kind == "table" then
    return checked(replacement[first or whole], whole)
  elseif found then
    return checked(replacement(unpack(found, 3, found.n)), whole)
  end
  return checked(replacement(first or whole), whole)
end

local function replace_each(compiled, s, admitted, replacement, kind, most, once)
  local pieces, n, count, at = {}, 0, 0, 1
  while count < most do
    local from, to, first, found = locate(compiled, s, admitted, at, count > 0 and at)
    if not from then
      break
    elseif kind == "function" then
      finished(compiled, from)
    end
    pieces[n + 1] = sub(s, at, from - 1)
    pieces[n + 2] = replacement_for(sub(s, from, to), first, found, replacement, kind)
    n, count, at = n + 2, count + 1, to + 1
    if once then
      break
    end
  end
  pieces[n + 1] = sub(s, at)
  return concat(pieces), count
end

local function replaced(ok, result, count)
  if not ok then
    fail(check(result))
  end
  if #result > LITTLE then
    charge(#result // 16)
  end
  return result, count
end

local function gsub_slowly(s, p, replacement, kind, most)
  most = integer(most, #s + 1, 4, "gsub")
  local compiled = programs[p] or program_of(p)
  local admitted = admit(compiled, #s)
  local calls_nothing = kind == "string" or kind == "table" and not raw_metatable(replacement)
  if admitted and calls_nothing and compiled.source == p then
    return replaced(pcall(gsub, s, p, replacement, most))
  end
  return replace_each(compiled, s, admitted, replacement, kind, most, byte(p, 1) == CARET)
end

local function spell_gsub(s, p, replacement, most)
  local compiled, kind = programs[p], type(replacement)
  if compiled and most == nil and compiled.source == p and type(s) == "string" and #s <= compiled.free then
    if kind == "string" then
      return replaced(pcall(gsub, s, p, replacement))
    end
  end
  s, p = text(s, 1, "gsub"), text(p, 2, "gsub")
  if kind == "number" then
    replacement, kind = tostring(replacement), "string"
  elseif kind ~= "string" and kind ~= "table" and kind ~= "function" then
    wrong_type(replacement, "string/function/table", 3, "gsub")
  end
  return gsub_slowly(s, p, replacement, kind, most)
end

return { find = spell_find, match = spell_match, gmatch = spell_gmatch, gsub = spell_gsub }
