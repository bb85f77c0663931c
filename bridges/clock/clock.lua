---@meta clock
-- The parts of `os` that a spell has: time comes from the host, so that a replay sees the same.

local host = ...
local perform, fail = host.perform, host.fail
local date, time, difftime, floor, type = os.date, os.time, os.difftime, math.floor, type

local MAX_FORMAT = 200
local started

local function now()
  local seconds = perform("clock.now", {})
  started = started or seconds
  return seconds
end

local clock = { difftime = difftime }

---Seconds since 1970, or those of a table {year, month, day, hour, min, sec}.
---@param fields? table
---@return integer
function clock.time(fields)
  if fields ~= nil then
    return time(fields)
  end
  return floor(now())
end

---Seconds since the spell first asked for the time, with fractions.
---@return number
function clock.clock()
  local seconds = now()
  return seconds - started
end

---A time as text, or as a table with the format "*t".
---@param format? string
---@param at? integer
---@return string|table
function clock.date(format, at)
  if format ~= nil and (type(format) ~= "string" or #format > MAX_FORMAT) then
    fail("invalid_arguments", "os.date: the format must be a string of at most " .. MAX_FORMAT .. " bytes")
  end
  return date(format or "%c", at or clock.time())
end

return { os = clock }
