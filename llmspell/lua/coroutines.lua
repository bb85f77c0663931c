-- The coroutines of the spell: they are hooked, cannot swallow a kill, and pass parked waits through.
-- To the spell, a task's own coroutine looks like the main thread of a plain Lua program.

local part = ...
local guard, parking = part("guard"), part("parking")
local wrong_type, keep_frame = part("arguments").wrong_type, part("arguments").keep_frame
local error, pcall, type, setmetatable = error, pcall, type, setmetatable
local create, resume, status = coroutine.create, coroutine.resume, coroutine.status
local close, running, isyieldable = coroutine.close, coroutine.running, coroutine.isyieldable
local watch, charge, check, fail = guard.watch, guard.charge, guard.check, guard.fail
local PARK, TASK, park, reserved = parking.PARK, parking.TASK, parking.park, parking.reserved

-- A tag that marks a yield as the end of a coroutine's function, as PARK marks a wait.
local function DONE() end

-- The coroutine that last resumed each coroutine.
local resumers = setmetatable({}, { __mode = "kv" })
-- The error each failed coroutine ended with, until close() has returned it.
local failures = setmetatable({}, { __mode = "k" })

local function expect_thread(co, callee)
  if type(co) ~= "thread" then
    wrong_type(co, "thread", 1, callee)
  end
end

-- Every resume up to the task has to be able to yield.
function parking.can_park()
  local co = running()
  while isyieldable(co) do
    if reserved[co] == TASK then
      return true
    end
    co = resumers[co]
  end
  return false
end

local function closed(resumer, ok, err)
  parking.active = resumer
  if ok then
    return true
  end
  return false, err
end

-- Closes a coroutine, whose __close handlers run inside it.
local function close_it(co)
  local resumer = parking.active
  if resumer ~= co then
    resumers[co], parking.active = resumer, co
  end
  return closed(resumer, close(co))
end

-- A task that is closed while waiting also closes the coroutines that wait inside it.
local waiting = {
  __close = function(wait)
    local co = wait.co
    if co then
      reserved[co] = nil
      local ok, err = close_it(co)
      if not ok then
        error(err, 0)
      end
    end
  end,
}

local function resumed(wait, ...)
  reserved[wait.co], wait.co = nil, nil
  return ...
end

local function wait_for(co, _, ...)
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
    return DONE, pcall(f, ...)
  end)
  watch(co)
  return co
end

local function spell_create(f)
  return keep_frame(create_for("create", f))
end

local enter

local function refuse(wrapped, err)
  if not wrapped then
    return false, err
  elseif type(err) == "string" then
    fail(err)
  end
  error(err, 0)
end

-- Handles the end of a coroutine: DONE and the results of pcall.
local function finish(co, wrapped, _, ok, ...)
  if not ok then
    local err = check((...))
    failures[co] = { err }
    return refuse(wrapped, err)
  elseif wrapped then
    return ...
  end
  return true, ...
end

local function leave(co, wrapped, resumer, ok, ...)
  parking.active = resumer
  local first = ...
  if first == PARK then
    return enter(co, wrapped, wait_for(co, ...))
  elseif first == DONE then
    return finish(co, wrapped, ...)
  elseif not ok then
    return refuse(wrapped, check(first))
  elseif wrapped then
    return ...
  end
  return true, ...
end

-- Resumes a coroutine. If `wrapped`, raises its error, as the functions of wrap() do.
function enter(co, wrapped, ...)
  if reserved[co] and status(co) ~= "dead" then
    return refuse(wrapped, "cannot resume non-suspended coroutine")
  end
  local resumer = parking.active
  resumers[co], parking.active = resumer, co
  return leave(co, wrapped, resumer, resume(co, ...))
end

local function spell_resume(co, ...)
  if type(co) ~= "thread" then
    expect_thread(co, "resume")
  end
  return enter(co, false, ...)
end

local function spell_wrap(f)
  local co = create_for("wrap", f)
  return function(...)
    if reserved[co] then
      return enter(co, true, ...)
    end
    local resumer = parking.active
    resumers[co], parking.active = resumer, co
    return leave(co, true, resumer, resume(co, ...))
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
  return co, reserved[co] ~= nil
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
