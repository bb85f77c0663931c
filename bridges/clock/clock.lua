---@meta clock
-- The time functions of `os`. Time comes from the host, so that a replay sees the same time.

local host = ...
local perform, format_date, time_of = host.perform, host.format_date, host.time_of
local floor = math.floor

local clock = {}
local started

local function now()
  local seconds = perform("clock.now", {})
  started = started or seconds
  return seconds
end

---Seconds since 1970: now, or at the time in a table {year, month, day, hour, min, sec}.
---@param fields? table
---@return integer
function clock.time(fields)
  if fields ~= nil then
    return time_of(fields)
  end
  return floor(now())
end

---Seconds since the spell first read the time, with fractions.
---@return number
function clock.clock()
  local seconds = now()
  return seconds - started
end

---Format a time as text, or as a table with the format "*t".
---@param format? string
---@param at? integer
---@return string|table
function clock.date(format, at)
  return format_date(format, at or clock.time())
end

return { ["os.time"] = clock.time, ["os.clock"] = clock.clock, ["os.date"] = clock.date }
