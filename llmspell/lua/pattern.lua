-- string.find, match, gmatch and gsub on the fast path: C matches a pattern compiled before, on a text so
-- short that the work is small. searching.lua handles all other cases.

local part = ...
local guard = part("guard")
local type, pcall, setmetatable, math_type = type, pcall, setmetatable, math.type
local find, match, gmatch, gsub = string.find, string.match, string.gmatch, string.gsub
local charge, check, fail, noticed = guard.charge, guard.check, guard.fail, guard.noticed
local keep_frame = part("later").keep_frame

local LITTLE <const> = 1000 -- bytes not worth a charge

-- The longest text on which C may match a pattern without a charge, by pattern; the same for patterns
-- that are not anchored; and for plain searches, by what is searched for. Filled by program.lua and
-- searching.lua. For other patterns every text is too long.
local unknown = {
  __index = function()
    return -1
  end,
}
local free, free_anywhere = setmetatable({}, unknown), setmetatable({}, unknown)
local free_plain = setmetatable({}, unknown)

local function spell_find(s, p, init, plain)
  if type(s) == "string" then
    if plain then
      if #s <= free_plain[p] and (init == 1 or init == nil or math_type(init) == "integer") then
        return find(s, p, init, true)
      end
    elseif #s <= free[p] then
      if init == nil then
        return find(s, p)
      elseif math_type(init) == "integer" then
        return find(s, p, init)
      end
    end
  end
  return keep_frame(part("searching").find(s, p, init, plain))
end

local function spell_match(s, p, init)
  if type(s) == "string" and #s <= free[p] then
    if init == nil then
      return match(s, p)
    elseif math_type(init) == "integer" then
      return match(s, p, init)
    end
  end
  return keep_frame(part("searching").match(s, p, init))
end

local function spell_gmatch(s, p, init)
  if init == nil and type(s) == "string" and #s <= free_anywhere[p] then
    return gmatch(s, p)
  end
  return keep_frame(part("searching").gmatch(s, p, init))
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
  if most == nil and type(s) == "string" and #s <= free[p] and type(replacement) == "string" then
    local ok, result, count = pcall(gsub, s, p, replacement)
    if ok and #result <= LITTLE then
      return result, count
    end
    return replaced(ok, result, count)
  end
  return keep_frame(part("searching").gsub(s, p, replacement, most))
end

return {
  find = spell_find,
  free = free,
  free_anywhere = free_anywhere,
  free_plain = free_plain,
  gmatch = spell_gmatch,
  gsub = spell_gsub,
  match = spell_match,
  replaced = replaced,
}
