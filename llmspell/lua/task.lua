-- The global Task. Most of its functions are in tasks.lua.

local part = ...
local perform, later, type = part("scheduler").perform, part("arguments").later, type

local function seconds(value, callee)
  if type(value) ~= "number" or value < 0 or value ~= value then
    part("errors").fail("invalid_arguments", callee .. ": seconds must be a number that is not negative")
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
