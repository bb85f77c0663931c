-- The global Task. Most of its functions are in tasks.lua.

local part = ...
local match, tonumber = string.match, tonumber
local perform, later, type = part("scheduler").perform, part("later").later, type

local scales = { w = 604800, d = 86400, h = 3600, m = 60, s = 1, ms = 0.001 }

-- Parses a duration such as "7d" or "1h 30m" into seconds; nil if it is not one.
local function span(text)
  local total, at = 0, 1
  repeat
    local amount, unit, stop = match(text, "^%s*(%d+%.?%d*)%s*(%l+)()", at)
    local scale = scales[unit]
    if not scale then
      return nil
    end
    total, at = total + tonumber(amount) * scale, stop
  until match(text, "^%s*$", at)
  return total
end

local function seconds(value, callee)
  if type(value) == "string" and #value < 100 then
    value = span(value)
  end
  if type(value) ~= "number" or value < 0 or value ~= value then
    part("errors").fail(
      "invalid_arguments",
      callee .. ": seconds must be a number that is not negative, or a string such as 2h"
    )
  end
  return value
end

local function sleep(duration)
  perform("task.sleep", { seconds = seconds(duration, "Task.sleep") })
end

return {
  seconds = seconds,
  Task = {
    all = later("tasks", "all"),
    budget = later("tasks", "budget"),
    map = later("tasks", "map"),
    race = later("tasks", "race"),
    sleep = sleep,
    spawn = later("tasks", "spawn"),
    timeout = later("tasks", "timeout"),
  },
}
