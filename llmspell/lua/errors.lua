-- Errors as spells see them: tables {code, message, where, …} whose tostring reads well.

local part = ...
local tostring, where = part("basics").tostring, part("following").where
local setmetatable, rawget, error, type = setmetatable, rawget, error, type

local function text(e)
  local place, hint = rawget(e, "where"), rawget(e, "hint")
  local line = tostring(rawget(e, "message"))
  if type(place) == "string" then
    line = place .. ": " .. line
  end
  if type(hint) == "string" then
    line = line .. " (" .. hint .. ")"
  end
  return line
end

local metatable = {
  __metatable = false,
  __name = "error",
  __tostring = text,
  __concat = function(a, b)
    return tostring(a) .. tostring(b)
  end,
}

local function new(code, message, hint)
  return setmetatable({ code = code, message = message, hint = hint, retryable = false }, metatable)
end

-- Raises an error table at the spell's own line, unless it has a place already: that of a function of
-- the spell which the effect called.
local function raise(e)
  e.where = e.where or where()
  error(e, 0)
end

-- Raises an error table that came from the host.
local function raise_table(t)
  raise(setmetatable(t, metatable))
end

local function fail(code, message, hint)
  raise(new(code, message, hint))
end

return { new = new, raise_table = raise_table, fail = fail }
