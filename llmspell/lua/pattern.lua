-- string.find, match, gmatch and gsub where little has to be done: C matches a pattern that was
-- compiled before, on a text so short that its work is small. searching.lua does the rest.

local part = ...
local guard = part("guard")
local type, pcall, math_type = type, pcall, math.type
local find, match, gmatch, gsub = string.find, string.match, string.gmatch, string.gsub
local charge, check, fail, on = guard.charge, guard.check, guard.fail, part("arguments").on

local programs = {} -- compiled patterns, see program.lua
local LITTLE <const> = 1000 -- bytes not worth a charge

local function spell_find(s, p, init, plain)
  if type(s) == "string" and (init == nil or math_type(init) == "integer") then
    local compiled = programs[p]
    if plain and #s <= LITTLE and type(p) == "string" and #p <= LITTLE then
      return find(s, p, init, true)
    elseif compiled and not plain and #s <= compiled.free then
      return find(s, compiled.source, init)
    end
  end
  return on(part("searching").find(s, p, init, plain))
end

local function spell_match(s, p, init)
  local compiled = programs[p]
  if compiled and type(s) == "string" and (init == nil or math_type(init) == "integer") then
    if #s <= compiled.free then
      return match(s, compiled.source, init)
    end
  end
  return on(part("searching").match(s, p, init))
end

local function spell_gmatch(s, p, init)
  local compiled = programs[p]
  if compiled and init == nil and type(s) == "string" and #s <= compiled.free then
    if compiled.source == p and not compiled.anchored then
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
  local compiled, kind = programs[p], type(replacement)
  if compiled and most == nil and compiled.source == p and type(s) == "string" and #s <= compiled.free then
    if kind == "string" then
      return replaced(pcall(gsub, s, p, replacement))
    end
  end
  return on(part("searching").gsub(s, p, replacement, most))
end

return {
  find = spell_find,
  gmatch = spell_gmatch,
  gsub = spell_gsub,
  match = spell_match,
  programs = programs,
  replaced = replaced,
}
