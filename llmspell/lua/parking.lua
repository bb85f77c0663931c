-- Waiting for the host. A task is a coroutine the kernel resumes. What waits parks: it yields PARK,
-- which every resume on the way hands outward until it reaches the kernel; when the kernel resumes
-- the task, each resume on the way in goes on with the coroutine that waits below it, and what the
-- kernel passes arrives there.

local part = ...
local guard = part("guard")
local setmetatable, create, yield = setmetatable, coroutine.create, coroutine.yield

-- A tag, told from whatever a spell yields by identity. A function, since `==` on tables could call
-- a metamethod of the spell.
local function PARK() end

-- Coroutines the spell may neither resume nor close: tasks, and what waits parked.
local TASK <const> = true
local reserved = setmetatable({}, { __mode = "k" })

local function new_task(f)
  local co = create(f)
  guard.watch(co)
  reserved[co] = TASK
  return co
end

local function park(...)
  return yield(PARK, ...)
end

-- `active` is the coroutine that runs, which whoever resumes one has to set.
local parking = {
  PARK = PARK,
  TASK = TASK,
  -- Can the running code park: does a yield reach the kernel from here? This holds as long as the
  -- spell has no coroutines of its own, see coroutines.lua.
  can_park = coroutine.isyieldable,
  create = new_task,
  park = park,
  reserved = reserved,
}

function parking.yield(...)
  if reserved[parking.active] then
    guard.fail("attempt to yield from outside a coroutine")
  end
  return yield(...)
end

return parking
