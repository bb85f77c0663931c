-- Effects that cannot be performed, fail, or are expensive to pass on.

local part = ...
local guard, parking, tostring = part("guard"), part("parking"), part("basics").tostring

local OUT_OF_MEMORY <const> = "not enough memory"

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

-- Answers a task whose request cannot be encoded.
local function answer(task, name, message)
  if message == OUT_OF_MEMORY then
    task.refused, task.reply = "kill", { limit = "memory", reason = "memory limit exceeded" }
  else
    message = tostring(name) .. ": " .. message
    task.refused, task.reply = "error", { code = "invalid_arguments", message = message }
  end
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

return { answer = answer, bar = bar, finish = finish, misuse = misuse }
