-- Protected calls of functions of the spell. When memory runs out, Lua unwinds the stack without calling a
-- message handler, and the error of a __close handler may replace the one that says so. So the message
-- handler, if the called function has been unwound when it hears of an error, looks for the reason.

local part = ...
local guard = part("guard")
local check, kill, without_place = guard.check, guard.kill, guard.without_place
local xpcall, getlocal, getinfo = xpcall, debug.getlocal, debug.getinfo

local RAISER <const> = 3 -- the level of the function that raised the error
local LEVELS <const> = 200 -- of calls to search; to reach one, Lua passes all above it
local HIGHEST_BIT <const> = 20 -- of the number of values on the stack
local OUT_OF_MEMORY <const> = "not enough memory"

-- Keeps a frame below that of f.
local function call(f, ...)
  return nil, f(...)
end

-- Whether a lack of memory came before the error of a __close handler, which xpcall, at `level`, has called.
-- The last value that xpcall has on the stack is the error that it passes to the handler, unless the
-- handler is one whose own arguments are there. Then only the `first` error that a message handler hears of
-- tells something: of what comes before it, Lua was silent, as it is of a second overflow of the stack.
local function lacked_memory(level, first)
  local last = 0
  for bit = HIGHEST_BIT, 0, -1 do
    if getlocal(level, last + (1 << bit)) then
      last = last + (1 << bit)
    end
  end
  local _, err = getlocal(level, last)
  if err == OUT_OF_MEMORY or level == RAISER + 1 then -- xpcall itself raises errors if it can call nothing
    return err == OUT_OF_MEMORY
  end
  local handler = getinfo(level - 1, "tu")
  return first and (err == nil or handler.istailcall and handler.isvararg)
end

-- Called by the message handler of a protected call.
local function expect_called(first)
  for level = RAISER, LEVELS do
    local f = getinfo(level, "f").func
    if f == call then
      return
    elseif f == xpcall then
      if lacked_memory(level + 1, first) then
        kill("memory", "memory limit exceeded")
      end
      return
    end
  end
end

local idle -- an attempt of `protected_call` that is not in use

-- What one call at a time needs. An error is described where it was raised: possibly inside a hook, where
-- no other hook stops it, so `describe` has to be trusted. An attempt with `describe` has an owner; another
-- is for whoever calls next.
local function new_attempt(describe)
  local attempt = { owned = describe ~= nil, raised = false }

  function attempt.handle(err)
    local first = not attempt.raised
    attempt.raised = true
    if getinfo(4, "f").func ~= call then -- if the function called error()
      expect_called(first)
      err = without_place(err)
    end
    if describe and not guard.dead then
      return describe(err)
    end
    return err
  end

  return attempt
end

local function settle(attempt, ok, first, ...)
  if not attempt.owned then
    idle = attempt
  end
  if ok then
    return true, ...
  end
  attempt.raised = false
  return false, check(first)
end

-- Returns a function like pcall, for one call at a time.
local function new_caller(describe)
  local attempt = new_attempt(describe)
  return function(f, ...)
    return settle(attempt, xpcall(call, attempt.handle, f, ...))
  end
end

local function protected_call(f, ...)
  local attempt = idle or new_attempt()
  idle = nil
  return settle(attempt, xpcall(call, attempt.handle, f, ...))
end

return { new_caller = new_caller, pcall = protected_call }
