-- Effects that cannot be performed, fail, or are expensive to pass on.

local part = ...
local guard, parking, tostring = part("guard"), part("parking"), part("basics").tostring
local error, format = error, string.format

local OVERDUE <const> = "time limit exceeded"

-- Errors of the kernel that stand for a limit.
local limits = {
  ["not enough memory"] = { limit = "memory", reason = "memory limit exceeded" },
  [OVERDUE] = { limit = "time", reason = OVERDUE },
}

-- Fails where no effect can be performed: the task is cancelled, or C called the running code.
local function bar(name, closing)
  local fail = part("errors").fail
  if closing then
    fail("no_effect_here", "a task that is being cancelled cannot perform " .. name)
  elseif not parking.can_park() then
    fail(
      "no_effect_here",
      "cannot perform " .. name .. " inside a C callback",
      "call it before and use its result"
    )
  end
  parking.park() -- it was cancelled
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
local function finish(task, reply, refused)
  if task.request_cost then
    local cost = task.request_cost
    task.request_cost = nil
    guard.charge(cost)
  end
  if refused == "kill" then
    guard.kill(reply.limit, reply.reason)
  elseif refused == "error" then
    part("errors").raise_table(reply)
  end
  return reply
end

return { answer = answer, bar = bar, finish = finish, misuse = misuse, refuse_value = refuse_value }
