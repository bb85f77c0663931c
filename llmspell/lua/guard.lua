-- The kill switch. Untrusted coroutines carry a count hook that pays for instructions out of the
-- run's fuel; work that C does unseen is charged by its size. When a limit is reached the run is
-- dead: every coroutine raises at each instruction, and no protected call lets user code see it.

local part = ...
local config, growth = part("config"), part("growth")
local grew, grew_by, follow, sample = growth.grew, growth.grew_by, growth.follow, growth.sample
local where = growth.where
local error, pcall, xpcall, type, match = error, pcall, xpcall, type, string.match
local sethook, gethook, traceback = debug.sethook, debug.gethook, debug.traceback
local setmetatable, memory, running = setmetatable, collectgarbage, coroutine.running
local huge, max = math.huge, math.max

-- Instructions from hook to hook. With a large heap one instruction can take milliseconds (think of
-- `..` on megabytes), so the hook then comes more often. Lua does not count the texts that C functions make:
-- the largest there was is taken to be in use.
local PERIOD <const> = config.period or 1000
local largest = 0 -- kibibytes
local function period_for(kibibytes)
  kibibytes = kibibytes + largest
  return kibibytes < 2048 and PERIOD or kibibytes < 8192 and PERIOD // 4 or PERIOD // 10
end

-- A process of its own counts the seconds of CPU that it used; elsewhere whole seconds pass, which
-- are cheap to ask for. So much fuel may be burned between two looks at the clock.
local now = config.clock and os.clock or os.time
local UNSEEN <const> = config.clock and 5000 or 1000

local LARGE <const> = 1 << 16 -- bytes of a text
local OUT_OF_MEMORY <const> = "not enough memory"
local KILL = {}

local fuel, next_look = huge, 0 -- what is left, and at how much to look at the clock
local patience, since = huge, nil -- seconds, and when they began to be counted
local limit, reason, place, stack -- why and where the run died
local guard = { dead = false }

local function die()
  error(KILL, 0)
end

-- Does nothing in trusted code, which has no hook.
local function raise()
  if gethook() then
    sethook(die, "", 1)
    die()
  end
end

local function record_place()
  place = place or where()
  stack = traceback("", 3)
end

-- Ends the run. An error of memory has unwound the stack unseen, unless it was raised `here`. Called from
-- the root it returns: the run has ended when the root looks at `dead`.
local function kill(name, message, here)
  if not limit then
    place = name == "memory" and not here and growth.place() or nil
    pcall(record_place) -- memory may be short
    place = place or growth.place()
  end
  if not limit then -- the hook may have killed meanwhile; once `limit` is set it raises, here as well
    reason, guard.dead = message, true
    limit, next_look = name, huge
  end
  raise()
end

local function look()
  if limit then
    return raise()
  elseif fuel < 0 then
    return kill("instructions", "instruction limit exceeded")
  end
  local at = now()
  since = since or at
  if at - since > patience then
    return kill("time", "time limit exceeded")
  end
  next_look = fuel > UNSEEN and fuel - UNSEEN or 0
end

local function charge(amount)
  fuel = fuel - amount
  if fuel < next_look then
    look()
  end
end

local hooks = {}

-- Follows instructions, into coroutines that they resume.
local function hook_to_follow()
  fuel = fuel - 1
  look()
  local co = part("parking").active
  if follow() then
    if co ~= running() then
      sethook(co, hook_to_follow, "", 1)
    end
  else
    local period = period_for(memory("count"))
    sethook(hooks[period], "", period)
  end
end

local function hook_every(period)
  return function()
    fuel = fuel - period
    if fuel < next_look or period < PERIOD then
      look()
    end
    local kibibytes = memory("count")
    local suitable = period_for(kibibytes)
    if grew(kibibytes) then
      sethook(hook_to_follow, "", 1)
    elseif suitable ~= period then
      sethook(hooks[suitable], "", suitable)
    end
  end
end

-- Fewer instructions than that may use up the memory. Then there are cycles of the collector: each
-- finalizes one of these tables, in the midst of whatever allocates.
local cycle = {}

function cycle.__gc()
  setmetatable({}, cycle)
  if gethook() and not limit and sample() then
    sethook(hook_to_follow, "", 1)
  end
end

setmetatable({}, cycle)

for kibibytes = 0, 8192, 4096 do
  local period = period_for(kibibytes)
  hooks[period] = hook_every(period)
end

local function watch(co)
  if limit then
    raise()
  end
  local period = period_for(memory("count"))
  sethook(co, hooks[period], "", period)
end

-- Lua puts "?:" and no line, or any, before errors raised in our own code, such as "stack overflow".
local function without_place(err)
  return type(err) == "string" and match(err, "^%?:[-%d?]*: (.*)$") or err
end

-- Every error that one of our protected calls has caught passes here before user code sees it; `here`
-- if the call was of a function in C.
-- It has a price, since it may come from a hook that found no room on the stack to run.
local function check(err, here)
  if limit then
    raise()
  elseif err == OUT_OF_MEMORY then
    kill("memory", "memory limit exceeded", here)
  end
  charge(PERIOD // 10)
  return without_place(err)
end

local function settle(ok, ...)
  if ok then
    return true, ...
  end
  return false, check((...))
end

local function guarded_pcall(f, ...)
  return settle(pcall(f, ...))
end

-- A function like pcall, with a handler. That runs where the error was raised, which may be inside a
-- hook, where no hook stops it: it has to be ours. The spell's own xpcall calls its handler after the
-- fact, see basics.lua.
local function protected(handler)
  local function handle(err)
    return limit and err or handler(without_place(err))
  end
  return function(f, ...)
    return settle(xpcall(f, handle, ...))
  end
end

-- Raises an error as if at the spell's own line.
local function fail(message)
  local line = where()
  error(line and line .. ": " .. message or message, 0)
end

guard.charge, guard.check, guard.fail, guard.kill = charge, check, fail, kill
guard.pcall, guard.protected = guarded_pcall, protected
guard.watch, guard.where = watch, where

function guard.fuel()
  return fuel
end

function guard.killed()
  return limit, reason, place, stack
end

-- Of a text that a C function made.
function guard.noticed(text)
  if #text > LARGE then
    largest = max(largest, #text // 1024)
    if grew_by(#text // 1024) and gethook() then
      sethook(hook_to_follow, "", 1)
    end
  end
  return text
end

-- Gives the spell so many instructions and seconds until it comes back.
function guard.refuel(instructions, seconds)
  fuel, patience, since = instructions, seconds, nil
  next_look = limit and huge or fuel
end

return guard
