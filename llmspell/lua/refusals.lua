-- Effects that cannot be performed, fail, or are expensive to pass on.

local part = ...
local guard, parking, tostring = part("guard"), part("parking"), part("basics").tostring
local error, format, isyieldable = error, string.format, coroutine.isyieldable

local OVERDUE <const> = "time limit exceeded"

-- Errors of the kernel that stand for a limit.
local limits = {
  ["not enough memory"] = { limit = "memory", reason = "memory limit exceeded" },
  [OVERDUE] = { limit = "time", reason = OVERDUE },
}

-- Fails for something that has to yield, where C called the running code.
local function refuse_in_callback(what)
  local problem = "cannot " .. what .. " inside a C callback"
  part("errors").fail("no_effect_here", problem, "call it before and use its result")
end

-- Fails where no effect can be performed: the task is cancelled, or C called the running code.
local function bar(name, closing)
  if closing then
    part("errors").fail("no_effect_here", "a task that is being cancelled cannot perform " .. name)
  elseif isyieldable() then
    parking.park() -- it was cancelled, and returns only if it is refused
  end
  refuse_in_callback("perform " .. name)
end

-- Fails for a tool that was not called with named arguments.
local function misuse(name)
  part("errors").fail(
    "invalid_arguments",
    name .. " takes one table of named arguments",
    "write " .. name .. "{name = value}"
  )
end

local wordings = {
  depth = "table nested too deeply to pass to the host, or cyclic",
  key = "a table with a %s as key cannot be passed to the host",
  kind = "a %s cannot be passed to the host",
  message = "malformed message from the host",
  number_keys = "more than %d numbers as keys cannot be passed to the host: use strings, or a list without nil",
  overdue = OVERDUE,
  size = "value too large to pass to the host (limit message = %d bytes)",
}

-- Fails for a value that cannot be passed between the spell and the host.
local function refuse_value(why, detail)
  error(format(wordings[why], detail), 0)
end

-- Answers a task whose request cannot be encoded; returns whether the run goes on.
local function answer(task, name, message)
  if limits[message] then
    task.refused, task.reply = "kill", limits[message]
    return false
  end
  message = tostring(name) .. ": " .. message
  task.refused, task.reply = "error", { code = "invalid_arguments", message = message }
  return true
end

-- Completes an effect that failed or was expensive to pass on; returns its reply.
local function finish(task, name, reply, refused)
  if task.request_cost then
    local cost = task.request_cost
    task.request_cost = nil
    guard.charge(cost)
  end
  if refused == "kill" then
    guard.kill(reply.limit, reply.reason)
  elseif refused == "error" then
    part("errors").raise_table(reply)
  elseif refused == parking.PARK then
    refuse_in_callback("perform " .. name)
  end
  return reply
end

return {
  answer = answer,
  bar = bar,
  finish = finish,
  misuse = misuse,
  refuse_in_callback = refuse_in_callback,
  refuse_value = refuse_value,
}
