-- Basic functions that differ from C's: no addresses, no finalizers, no error handlers where nothing
-- watches them, and loops that may perform effects. The rarely used ones are in rarities.lua.

local part = ...
local keep_frame = part("later").keep_frame
local type, tostring, tonumber, rawget = type, tostring, tonumber, rawget
local pcall, setmetatable, ipairs, raw_metatable = pcall, setmetatable, ipairs, debug.getmetatable

local function spell_tostring(...)
  local value = ...
  local kind = type(value)
  if kind == "string" then
    return value
  elseif kind == "number" or kind == "boolean" then
    return tostring(value)
  end
  return keep_frame(part("rarities").tostring(...))
end

local function spell_tonumber(...)
  local value, base = ...
  if base == nil and (type(value) == "number" or type(value) == "string" and #value <= 100) then
    return tonumber(value)
  end
  return keep_frame(part("rarities").tonumber(...))
end

-- Where C fails, the general function knows better words.
local function spell_setmetatable(t, metatable)
  if
    type(metatable) == "table"
    and rawget(metatable, "__gc") == nil
    and pcall(setmetatable, t, metatable)
  then
    return t
  end
  return keep_frame(part("rarities").setmetatable(t, metatable))
end

local function following(t, i)
  i = i + 1
  local value = t[i]
  if value ~= nil then
    return i, value
  end
end

-- C's iterator cannot perform effects in an __index.
local function spell_ipairs(t)
  if t == nil then
    part("arguments").bad(1, "ipairs", "table expected, got nil")
  elseif raw_metatable(t) then
    return following, t, 0
  end
  return ipairs(t)
end

return {
  ipairs = spell_ipairs,
  setmetatable = spell_setmetatable,
  tonumber = spell_tonumber,
  tostring = spell_tostring,
}
