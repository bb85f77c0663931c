-- string.find, match, gmatch and gsub where little has to be done: C matches a pattern that was
-- compiled before, on a text so short that its work is small. searching.lua does the rest.

local part = ...
local guard = part("guard")
local type, pcall, math_type = type, pcall, math.type
local find, match, gmatch, gsub = string.find, string.match, string.gmatch, string.gsub
local charge, check, fail, noticed = guard.charge, guard.check, guard.fail, guard.noticed
local on = part("arguments").on

local LITTLE <const> = 1000 -- bytes not worth a charge

-- How long a text may be for C to match a pattern on it without a charge, by pattern; and the same of
-- those that are not anchored to the text's begin. Filled by program.lua.
local free, free_anywhere = {}, {}

local function spell_find(s, p, init, plain)
  local most = plain and LITTLE or free[p]
  if most and type(s) == "string" and #s <= most and (init == nil or math_type(init) == "integer") then
    if not plain or type(p) == "string" and #p <= LITTLE then
      return find(s, p, init, plain)
    end
  end
  return on(part("searching").find(s, p, init, plain))
end

local function spell_match(s, p, init)
  local most = free[p]
  if most and type(s) == "string" and #s <= most and (init == nil or math_type(init) == "integer") then
    return match(s, p, init)
  end
  return on(part("searching").match(s, p, init))
end

local function spell_gmatch(s, p, init)
  local most = free_anywhere[p]
  if most and init == nil and type(s) == "string" and #s <= most then
    return gmatch(s, p)
  end
  return on(part("searching").gmatch(s, p, init))
end

local function replaced(ok, result, count)
  if not ok then
    fail(check(result, true))
  end
  if #result > LITTLE then
    charge(#result // 16)
    noticed(result)
  end
  return result, count
end

local function spell_gsub(s, p, replacement, most)
  local longest = free[p]
  if longest and most == nil and type(s) == "string" and #s <= longest and type(replacement) == "string" then
    local ok, result, count = pcall(gsub, s, p, replacement)
    if ok and #result <= LITTLE then
      return result, count
    end
    return replaced(ok, result, count)
  end
  return on(part("searching").gsub(s, p, replacement, most))
end

return {
  find = spell_find,
  free = free,
  free_anywhere = free_anywhere,
  gmatch = spell_gmatch,
  gsub = spell_gsub,
  match = spell_match,
  replaced = replaced,
}
