-- Coroutines of the spell: hooked, unable to swallow a kill, and transparent to a parked effect.
--
-- A task is a coroutine the kernel resumes. What waits for the host parks: it yields PARK, which
-- every resume on the way hands outward until it reaches the kernel; when the kernel resumes the
-- task, each resume on the way in goes on with the coroutine that waits below it.
--
-- To the spell a task's own coroutine looks like the main thread of a plain Lua program.

local guard = ...
local error, pcall, type, setmetatable = error, pcall, type, setmetatable
local create, resume, yield, status = coroutine.create, coroutine.resume, coroutine.yield, coroutine.status
local close, running, isyieldable = coroutine.close, coroutine.running, coroutine.isyieldable
local watch, charge, check, fail = guard.watch, guard.charge, guard.check, guard.fail

-- Tags, told from whatever a spell yields by identity. Functions, since `==` on tables could call
-- a metamethod of the spell.
local function PARK() end
local function DONE() end

-- Coroutines the spell may neither resume nor close: tasks, and what waits parked.
local TASK <const> = true
local reserved = setmetatable({}, { __mode = "k" })
-- Who resumed a coroutine last.
local resumers = setmetatable({}, { __mode = "kv" })
-- What a coroutine failed with, until close() has told.
local failures = setmetatable({}, { __mode = "k" })

local function expect_thread(co, callee)
  if type(co) ~= "thread" then
    fail("bad argument #1 to '" .. callee .. "' (thread expected, got " .. type(co) .. ")")
  end
end

local function new_task(f)
  local co = create(f)
  watch(co)
  reserved[co] = TASK
  return co
end

-- Can the running code park: does a yield reach the kernel from here?
local function can_park()
  local co = running()
  while isyieldable(co) do
    if reserved[co] == TASK then
      return true
    end
    co = resumers[co]
  end
  return false
end

local function park()
  yield(PARK)
end

-- A task that is closed while it waits takes the coroutines along that wait inside it.
local waiting = {
  __close = function(wait)
    local co = wait.co
    if co then
      reserved[co] = nil
      local ok, err = close(co)
      if not ok then
        error(err, 0)
      end
    end
  end,
}

local function wait_for(co)
  local wait <close> = setmetatable({ co = co }, waiting)
  reserved[co] = wait
  park()
  reserved[co] = nil
  wait.co = nil
end

-- The function of a coroutine runs protected, so that it never dies inside a hook: Lua would leave
-- hooks switched off in it, and close() would run its __close handlers unwatched.
local function spell_create(f)
  if type(f) ~= "function" then
    fail("bad argument #1 to 'create' (function expected, got " .. type(f) .. ")")
  end
  charge(100)
  local co = create(function(...)
    return DONE, pcall(f, ...)
  end)
  watch(co)
  return co
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

-- The end of a coroutine: DONE and what pcall said.
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

local function leave(co, wrapped, ok, ...)
  local first = ...
  if first == PARK then
    wait_for(co)
    return enter(co, wrapped)
  elseif first == DONE then
    return finish(co, wrapped, ...)
  elseif not ok then
    return refuse(wrapped, check(first))
  elseif wrapped then
    return ...
  end
  return true, ...
end

-- Resumes a coroutine. `wrapped`: raise its error, as the functions of wrap() do.
function enter(co, wrapped, ...)
  if reserved[co] and status(co) ~= "dead" then
    return refuse(wrapped, "cannot resume non-suspended coroutine")
  end
  resumers[co] = running()
  return leave(co, wrapped, resume(co, ...))
end

local function spell_resume(co, ...)
  if type(co) ~= "thread" then
    expect_thread(co, "resume")
  end
  return enter(co, false, ...)
end

local function spell_wrap(f)
  local co = spell_create(f)
  return function(...)
    return enter(co, true, ...)
  end
end

local function spell_yield(...)
  if reserved[running()] then
    fail("attempt to yield from outside a coroutine")
  end
  return yield(...)
end

local function spell_status(co)
  expect_thread(co, "status")
  local state = status(co)
  if state == "suspended" and reserved[co] then
    return "normal"
  end
  return state
end

local function closed(ok, err)
  if ok then
    return true
  end
  return false, check(err)
end

local function spell_close(co)
  if co == nil then
    co = running()
  end
  local state = spell_status(co)
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
  return closed(close(co))
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
  PARK = PARK,
  can_park = can_park,
  close = close,
  create = new_task,
  park = park,
  resume = resume,
  library = {
    close = spell_close,
    create = spell_create,
    isyieldable = spell_isyieldable,
    resume = spell_resume,
    running = spell_running,
    status = spell_status,
    wrap = spell_wrap,
    yield = spell_yield,
  },
}
