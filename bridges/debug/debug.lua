---@meta Debug

local host = ...
local tostring, null = host.tostring, host.null
local type, next, ipairs, rep, format, concat, sort, find =
  type, next, ipairs, string.rep, string.format, table.concat, table.sort, string.find
local math_type = math.type

local MAX_DEPTH = 16

local function before(a, b)
  local ta, tb = type(a), type(b)
  if ta == tb and (ta == "string" or ta == "number") then
    return a < b
  end
  return ta < tb
end

local function shown_key(key)
  if type(key) == "string" and find(key, "^[%a_][%w_]*$") then
    return key
  end
  return "[" .. (type(key) == "string" and format("%q", key) or tostring(key)) .. "]"
end

local function show(value, depth, seen)
  if type(value) == "string" then
    return format("%q", value)
  elseif type(value) ~= "table" then
    return tostring(value)
  elseif value == null then
    return "JSON.null"
  elseif seen[value] then
    return "<cycle>"
  elseif next(value) == nil then
    return "{}"
  elseif depth >= MAX_DEPTH then
    return "{…}"
  end
  seen[value] = true
  local keys, lines, count = {}, {}, 0
  for key in next, value do
    keys[#keys + 1] = key
  end
  sort(keys, before)
  local margin = rep("  ", depth + 1)
  for _, key in ipairs(keys) do
    local item = show(value[key], depth + 1, seen)
    count = count + 1
    local in_order = math_type(key) == "integer" and key == count
    lines[count] = margin .. (in_order and item or shown_key(key) .. " = " .. item)
  end
  seen[value] = nil
  return "{\n" .. concat(lines, ",\n") .. "\n" .. rep("  ", depth) .. "}"
end

---Format a value as readable Lua with sorted keys.
---@param value any
---@return string
local function inspect(value)
  return show(value, 0, {})
end

---@class Debug
local Debug = { inspect = inspect }

---Start a timer; the returned function gives the elapsed seconds.
---@return fun(): number
function Debug.timer()
  local started = host.perform("clock.now", {})
  return function()
    return host.perform("clock.now", {}) - started
  end
end

return { Debug = Debug, inspect = inspect }
