-- The kill switch. Untrusted coroutines carry a count hook that charges instructions to the run's fuel;
-- work done in C, which the hook does not see, is charged by its size. Once a limit is reached the run is
-- dead: every coroutine raises at each instruction, and no protected call lets user code see it.

local part = ...
local config, growth = part("config"), part("growth")
local grew, grew_by, sample = growth.grew, growth.grew_by, growth.sample
local error, pcall, type, byte, match = error, pcall, type, string.byte, string.match
local sethook, gethook, traceback = debug.sethook, debug.gethook, debug.traceback
local setmetatable, memory, running = setmetatable, collectgarbage, coroutine.running
local huge, max = math.huge, math.max

-- Instructions between two hooks. With a large heap one instruction can take milliseconds (such as `..`
-- on megabytes), so the hook then runs more often. Lua does not count the strings that C functions make:
-- the largest so far is assumed to be in use.
local PERIOD <const> = config.period or 1000
local largest = 0 -- kibibytes
local function period_for(kibibytes)
  kibibytes = kibibytes + largest
  return kibibytes < 2048 and PERIOD or kibibytes < 8192 and PERIOD // 4 or PERIOD // 10
end

-- An isolated process counts its own CPU seconds; elsewhere the clock has whole seconds, which are cheap
-- to read. UNSEEN is how much fuel may be used between two looks at the clock.
local now = config.clock and os.clock or os.time
local UNSEEN <const> = config.clock and 5000 or 1000

local LARGE <const> = 1 << 16 -- bytes of a string
local QUESTION_MARK <const> = 63
local OUT_OF_MEMORY <const>, OVERDUE <const> = "not enough memory", "time limit exceeded"
local KILL = {}

local fuel, next_look = huge, 0 -- what is left, and the amount at which to look at the clock
local patience, since = huge, nil -- the time limit in seconds, and when the turn started
local limit, reason, place, stack -- why and where the run died
local guard -- this part

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

-- Records where the run dies. If an error has `unwound` the stack, the heap has last grown there.
local function record_place(unwound)
  local following = part("following")
  place = following.place()
  if not (unwound and place) then
    place = following.where() or place
  end
  stack = traceback("", 3)
end

-- Ends the run. A memory error has unwound the stack, unless it was raised `here`. When called from the
-- root, it returns: the run has ended when the root checks `dead`.
local function kill(name, message, here)
  if not limit then
    pcall(record_place, name == "memory" and not here) -- memory may be short
  end
  if not limit then -- a hook may have killed the run meanwhile; once `limit` is set, hooks raise here too
    reason, guard.dead = message, true
    limit, next_look = name, huge
  end
  raise()
end

-- Whether the turn has taken too long.
local function is_overdue()
  local at = now()
  since = since or at
  return at - since > patience
end

local function look()
  if limit then
    return raise()
  elseif fuel < 0 then
    return kill("instructions", "instruction limit exceeded")
  end
  if is_overdue() then
    return kill("time", OVERDUE)
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

-- Follows single instructions, into the coroutines they resume.
local function hook_to_follow()
  fuel = fuel - 1
  look()
  local co = part("parking").inside
  if part("following").follow() then
    if co and co ~= running() then
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

-- Fewer instructions than a period may exhaust the memory. The collector then runs: each of its cycles
-- finalizes one of these tables, in the middle of some allocation.
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

-- Removes the "?:", with a meaningless line or none, that Lua puts before errors raised in the kernel's
-- code, such as "stack overflow".
local function without_place(err)
  return type(err) == "string" and byte(err) == QUESTION_MARK and match(err, "^%?:[-%d?]*: (.*)$") or err
end

-- Every error caught by a protected call of the kernel passes here before user code sees it; `here` if
-- the call was of a C function. It is charged, since it may come from a hook that had no stack to run.
local function check(err, here)
  if limit then
    raise()
  elseif err == OUT_OF_MEMORY then
    kill("memory", "memory limit exceeded", here)
  elseif err == OVERDUE then
    kill("time", OVERDUE)
  end
  charge(PERIOD // 10)
  return without_place(err)
end

-- Raises an error as if at the spell's own line.
local function fail(message)
  local line = part("following").where()
  error(line and line .. ": " .. message or message, 0)
end

-- Accounts for a string made by a C function.
local function noticed(text)
  if #text > LARGE then
    largest = max(largest, #text // 1024)
    if grew_by(#text // 1024) and gethook() then
      sethook(hook_to_follow, "", 1)
    end
  end
  return text
end

-- Gives the spell that many instructions and seconds for its next turn.
local function refuel(instructions, seconds)
  fuel, patience, since = instructions, seconds, nil
  next_look = limit and huge or fuel
end

guard = {
  charge = charge,
  check = check,
  dead = false,
  fail = fail,
  fuel = function()
    return fuel
  end,
  is_overdue = is_overdue,
  kill = kill,
  killed = function()
    return limit, reason, place, stack
  end,
  look = look,
  noticed = noticed,
  refuel = refuel,
  watch = watch,
  without_place = without_place,
}
return guard
