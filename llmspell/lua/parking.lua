-- Waiting for the host. A task is a coroutine that the kernel resumes. To wait, code parks: it yields
-- PARK, which every resume on the way passes outward until it reaches the kernel. When the kernel resumes
-- the task, each of these resumes continues the coroutine below it that waits, so that the values from
-- the kernel arrive there. A resume that C called cannot yield; it resumes that coroutine at once, with
-- nil and PARK.

local part = ...
local guard = part("guard")
local setmetatable, create, yield = setmetatable, coroutine.create, coroutine.yield

-- A tag that is distinguished by identity from anything a spell yields. It is a function, since `==` on
-- tables could call a metamethod of the spell.
local function PARK() end

-- Coroutines that the spell may neither resume nor close: tasks, and those that wait parked. The others of
-- the spell are here with false.
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

-- `inside` is the running coroutine of the spell, false in a task's own; code that resumes or closes one
-- has to set it.
local parking =
  { PARK = PARK, TASK = TASK, create = new_task, inside = false, park = park, reserved = reserved }

function parking.yield(...)
  if parking.inside then
    return yield(...)
  end
  guard.fail("attempt to yield from outside a coroutine")
end

return parking
