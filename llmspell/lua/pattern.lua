-- string.find, match, gmatch and gsub where little has to be done: C matches a pattern that was
-- compiled before, on a text so short that its work is small. searching.lua does the rest.

local part = ...
local guard = part("guard")
local type, pcall, math_type = type, pcall, math.type
local find, match, gmatch, gsub = string.find, string.match, string.gmatch, string.gsub
local charge, check, fail, on = guard.charge, guard.check, guard.fail, part("arguments").on

local LITTLE <const> = 1000 -- bytes not worth a charge

-- Compiled patterns that C may match as they are, by pattern. Filled by program.lua.
local known = {}

local function spell_find(s, p, init, plain)
  if type(s) == "string" and (init == nil or init == 1 or math_type(init) == "integer") then
    if not plain then
      local program = known[p]
      if program and (#s <= program.free or program:admit(#s)) then
        return find(s, p, init)
      end
    elseif #s <= LITTLE and type(p) == "string" and #p <= LITTLE then
      return find(s, p, init, true)
    end
  end
  return on(part("searching").find(s, p, init, plain))
end

local function spell_match(s, p, init)
  local program = known[p]
  if program and type(s) == "string" and (init == nil or math_type(init) == "integer") then
    if #s <= program.free or program:admit(#s) then
      return match(s, p, init)
    end
  end
  return on(part("searching").match(s, p, init))
end

local function spell_gmatch(s, p, init)
  local program = known[p]
  if program and init == nil and type(s) == "string" and not program.anchored then
    if #s <= program.free or program:admit(#s) then
      return gmatch(s, p)
    end
  end
  return on(part("searching").gmatch(s, p, init))
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

local function spell_gsub(s, p, replacement, most)
  local program = known[p]
  if program and most == nil and type(s) == "string" and type(replacement) == "string" then
    if #s <= program.free or program:admit(#s) then
      local ok, result, count = pcall(gsub, s, p, replacement)
      if ok and #result <= LITTLE then
        return result, count
      end
      return replaced(ok, result, count)
    end
  end
  return on(part("searching").gsub(s, p, replacement, most))
end

return {
  find = spell_find,
  gmatch = spell_gmatch,
  gsub = spell_gsub,
  known = known,
  match = spell_match,
  replaced = replaced,
}
