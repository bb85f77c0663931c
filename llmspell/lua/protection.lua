-- Protected calls of functions of the spell. When memory runs out, Lua unwinds the stack without calling a
-- message handler, and the error of a __close handler may replace the one that says so. So memory has run
-- out if the called function has already been unwound when the message handler hears of the first error.

local part = ...
local guard = part("guard")
local check, kill, without_place = guard.check, guard.kill, guard.without_place
local xpcall, getlocal = xpcall, debug.getlocal

local RAISER <const> = 3 -- the level of the function that raised the error
local LEVELS <const> = 200 -- of calls to search; to reach one, Lua passes all above it

-- The first local variable of `call`.
local function MARK() end

-- Keeps a frame below that of f.
local function call(mark, f, ...)
  return mark, f(...)
end

-- Raised by xpcall itself when it has no stack left to call the function.
local overflows = { ["stack overflow"] = true, ["C stack overflow"] = true }

-- Called by the message handler of a protected call at its first error.
local function expect_called(err)
  for level = RAISER, LEVELS do
    local _, first = getlocal(level, 1)
    if first == MARK then
      return
    elseif first == call then -- xpcall's own argument
      if level ~= RAISER or not overflows[err] then
        kill("memory", "memory limit exceeded")
      end
      return
    end
  end
end

local idle -- a caller of `protected_call` that is not in use

-- Returns a function like pcall, for one call at a time. An error is described where it was raised:
-- possibly inside a hook, where no other hook stops it, so `describe` has to be trusted.
local function new_caller(describe)
  local caller
  local raised = false

  local function handle(err)
    if not raised then
      raised = true
      local _, first = getlocal(4, 1) -- if the function called error()
      if first ~= MARK then
        expect_called(err)
      end
    end
    if describe and not guard.dead then
      return describe(without_place(err))
    end
    return err
  end

  local function settle(ok, first, ...)
    if not describe then
      idle = caller
    end
    if ok then
      return true, ...
    end
    raised = false
    return false, check(first)
  end

  function caller(f, ...)
    return settle(xpcall(call, handle, MARK, f, ...))
  end
  return caller
end

local function protected_call(f, ...)
  local caller = idle or new_caller()
  idle = nil
  return caller(f, ...)
end

return { new_caller = new_caller, pcall = protected_call }
