-- The coroutines of the spell: they are hooked, cannot swallow a kill, and pass parked waits through.
-- To the spell, a task's own coroutine looks like the main thread of a plain Lua program.

local part = ...
local guard, parking = part("guard"), part("parking")
local wrong_type, keep_frame = part("arguments").wrong_type, part("later").keep_frame
local error, type, setmetatable = error, type, setmetatable
local create, resume, status = coroutine.create, coroutine.resume, coroutine.status
local close, running, isyieldable = coroutine.close, coroutine.running, coroutine.isyieldable
local watch, charge, check, fail = guard.watch, guard.charge, guard.check, guard.fail
local pcall = part("protection").pcall
local PARK, TASK, park, reserved = parking.PARK, parking.TASK, parking.park, parking.reserved

-- A tag that distinguishes the end of a coroutine's function from a wait; both begin with PARK.
local function DONE() end

-- The error each failed coroutine ended with, until close() has returned it; wrap() has raised its own.
local failures = setmetatable({}, { __mode = "k" })

local function expect_thread(co, callee)
  if type(co) ~= "thread" then
    wrong_type(co, "thread", 1, callee)
  end
end

local function closed(outer, ok, err)
  parking.inside = outer
  if ok then
    return true
  end
  return false, err
end

-- Closes a coroutine, whose __close handlers run inside it.
local function close_it(co)
  local outer = parking.inside
  parking.inside = co
  return closed(outer, close(co))
end

-- A task that is closed while waiting also closes the coroutines that wait inside it.
local waiting = {
  __close = function(wait)
    local co = wait.co
    if co then
      reserved[co] = false
      local ok, err = close_it(co)
      if not ok then
        error(check(err), 0)
      end
    end
  end,
}

local function resumed(wait, ...)
  reserved[wait.co] = false
  wait.co = nil
  return ...
end

-- Parks for a coroutine that has parked. Returns the values to resume it with.
local function wait_for(co, ...)
  if not isyieldable() then
    return nil, PARK -- refused
  end
  local wait <close> = setmetatable({ co = co }, waiting)
  reserved[co] = wait
  return resumed(wait, park(...))
end

-- The function of a coroutine runs protected, so that it never dies inside a hook: Lua would then leave
-- its hooks disabled, and close() would run its __close handlers unwatched.
local function create_for(callee, f)
  if type(f) ~= "function" then
    wrong_type(f, "function", 1, callee)
  end
  charge(100)
  local co = create(function(...)
    return PARK, DONE, pcall(f, ...)
  end)
  watch(co)
  reserved[co] = false
  return co
end

local function spell_create(f)
  return keep_frame(create_for("create", f))
end

local function refuse(wrapped, err)
  if not wrapped then
    return false, err
  elseif type(err) == "string" then
    fail(err)
  end
  error(err, 0)
end

local function refuse_resume(co, wrapped)
  expect_thread(co, "resume")
  local state = status(co) == "dead" and "dead" or "non-suspended"
  return refuse(wrapped, "cannot resume " .. state .. " coroutine")
end

-- Handles the end of a coroutine's function, which returned the results of pcall.
local function finish(co, wrapped, ok, ...)
  if not ok then
    local err = ...
    failures[co] = not wrapped and { err } or nil
    return refuse(wrapped, err)
  elseif wrapped then
    return ...
  end
  return true, ...
end

local function resume_again(co, ...)
  parking.inside = co
  return resume(co, ...)
end

local leave, leave_wrapped

-- Handles a resume that did not end with a yield of the spell.
local function interrupted(co, outer, wrapped, ok, tag, what, ...)
  if not ok then
    return refuse(wrapped, check(tag))
  elseif what == DONE then
    return finish(co, wrapped, ...)
  end
  local next_leave = wrapped and leave_wrapped or leave
  return next_leave(co, outer, resume_again(co, wait_for(co, what, ...)))
end

-- What resume() returns to the coroutine `outer` after `co` ran.
function leave(co, outer, ok, ...)
  parking.inside = outer
  if not ok or (...) == PARK then
    return interrupted(co, outer, false, ok, ...)
  end
  return true, ...
end

-- The same for a function of wrap(). Two functions, since they run at each turn of many loops.
function leave_wrapped(co, outer, ok, ...)
  parking.inside = outer
  if not ok or (...) == PARK then
    return interrupted(co, outer, true, ok, ...)
  end
  return ...
end

local function spell_resume(co, ...)
  if reserved[co] ~= false then
    return refuse_resume(co, false)
  end
  local outer = parking.inside
  parking.inside = co
  return leave(co, outer, resume(co, ...))
end

local function spell_wrap(f)
  local wrapped = create_for("wrap", f)
  return function(...)
    local co = wrapped
    if reserved[co] then
      return refuse_resume(co, true)
    end
    local outer = parking.inside
    parking.inside = co
    return leave_wrapped(co, outer, resume(co, ...))
  end
end

local function status_of(co)
  local state = status(co)
  if state == "suspended" and reserved[co] then
    return "normal"
  end
  return state
end

local function spell_status(co)
  expect_thread(co, "status")
  return status_of(co)
end

local function spell_close(co)
  if co == nil then
    co = running()
  end
  expect_thread(co, "close")
  local state = status_of(co)
  if state == "running" and reserved[co] then
    fail("cannot close main thread")
  elseif state == "normal" then
    fail("cannot close a normal coroutine")
  end
  local failure = failures[co]
  if failure then
    failures[co] = nil
    return false, failure[1]
  end
  local ok, err = close_it(co)
  if ok then
    return true
  end
  return false, check(err)
end

local function spell_isyieldable(co)
  if co == nil then
    co = running()
  end
  expect_thread(co, "isyieldable")
  return reserved[co] ~= TASK and isyieldable(co)
end

local function spell_running()
  local co = running()
  return co, reserved[co] == TASK
end

return {
  close = spell_close,
  create = spell_create,
  isyieldable = spell_isyieldable,
  resume = spell_resume,
  running = spell_running,
  status = spell_status,
  wrap = spell_wrap,
}
