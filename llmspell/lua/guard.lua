-- The kill switch. Untrusted coroutines carry a count hook that pays for instructions out of the
-- run's fuel; work that C does unseen is charged by its size. When a limit is reached the run is
-- dead: every coroutine raises at each instruction, and no protected call lets user code see it.

local part = ...
local config = part("config")
local error, pcall, xpcall, type, match = error, pcall, xpcall, type, string.match
local sethook, gethook, getinfo, traceback = debug.sethook, debug.gethook, debug.getinfo, debug.traceback
local setmetatable, memory, huge = setmetatable, collectgarbage, math.huge

-- Instructions from hook to hook. With a large heap one instruction can take milliseconds (think of
-- `..` on megabytes), so the hook then comes more often.
local PERIOD <const> = config.period or 1000
local function period_for(kibibytes)
  return kibibytes < 2048 and PERIOD or kibibytes < 8192 and PERIOD // 4 or PERIOD // 10
end

-- A process of its own counts the seconds of CPU that it used; elsewhere whole seconds pass, which
-- are cheap to ask for. So much fuel may be burned between two looks at the clock.
local now = config.clock and os.clock or os.time
local UNSEEN <const> = config.clock and 5000 or 1000

local MUCH <const> = (config.memory or 64 << 20) / 16384 -- kibibytes: a sixteenth of what there is
local OURS <const> = "=?" -- the source of stripped code
local OUT_OF_MEMORY <const> = "not enough memory"
local KILL = {}

local fuel, next_look = huge, 0 -- what is left, and at how much to look at the clock
local patience, since = huge, nil -- seconds, and when they began to be counted
local limit, reason, place, stack -- why and where the run died
local grown, near = 0, nil -- kibibytes in use when the heap last grew by much, and where it last did
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

-- The innermost line of the spell: "spell.lua:12", or nil. Our own code is stripped of names and
-- lines: what Lua takes for the line of a function that lies in the host's memory means nothing.
local function where()
  for level = 2, 400 do
    local info = getinfo(level, "Sl")
    if not info then
      return nil
    elseif info.currentline > 0 and info.source ~= OURS then
      return info.short_src .. ":" .. info.currentline
    end
  end
end

local function record_place()
  place = place or where()
  stack = traceback("", 3)
end

-- Ends the run. Called from the root it returns: the run has ended when the root looks at `dead`.
local function kill(name, message)
  if not limit then
    place = name == "memory" and near or nil -- an error of that kind unwinds the stack unseen
    pcall(record_place) -- memory may be short
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

local function hook_every(period)
  return function()
    fuel = fuel - period
    if fuel < next_look or period < PERIOD then
      look()
    end
    local kibibytes = memory("count")
    if kibibytes > grown + MUCH then
      grown, near = kibibytes, where()
    elseif kibibytes < grown then
      grown = kibibytes
    end
    local suitable = period_for(kibibytes)
    if suitable ~= period then
      sethook(hooks[suitable], "", suitable)
    end
  end
end

-- Fewer instructions than that may use up the memory. Then there are cycles of the collector: each
-- finalizes one of these tables, in the midst of whatever allocates.
local cycle = {}

function cycle.__gc()
  near = where() or near
  setmetatable({}, cycle)
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
  sethook(co, hooks[PERIOD], "", PERIOD)
end

-- Lua puts "?:" and no line, or any, before errors raised in our own code, such as "stack overflow".
local function without_place(err)
  return type(err) == "string" and match(err, "^%?:[-%d?]*: (.*)$") or err
end

-- Every error that one of our protected calls has caught passes here before user code sees it.
-- It has a price, since it may come from a hook that found no room on the stack to run.
local function check(err)
  if limit then
    raise()
  elseif err == OUT_OF_MEMORY then
    kill("memory", "memory limit exceeded")
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

-- Gives the spell so many instructions and seconds until it comes back.
function guard.refuel(instructions, seconds)
  fuel, patience, since = instructions, seconds, nil
  next_look = limit and huge or fuel
end

return guard
