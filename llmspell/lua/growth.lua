-- Tracks where the heap grows. When memory runs out, the error unwinds the stack without a trace, so the
-- place has to be known by then: after each large increase, some instructions are followed one by one.

local part = ...
local getinfo, memory, next, huge = debug.getinfo, collectgarbage, next, math.huge

local MUCH <const> = (part("config").memory or 64 << 20) / 16384 -- kibibytes: 1/16 of the memory limit
local OURS <const> = "=?" -- the source of stripped code
local MIN_STEPS <const>, MAX_STEPS <const> = 100, 1000 -- to follow; the second if they allocate nothing

local grown = 0 -- kibibytes in use after the last large increase
local strings = 0 -- kibibytes of strings since then that Lua's counter does not include
local place -- where the heap last grew, or where the followed code is
local followed, used = huge, 0 -- instructions, and kibibytes in use after the last of them
local taken = {} -- kibibytes that they allocated, by place

local function place_of(info)
  if info.currentline > 0 and info.source ~= OURS then
    return info.short_src .. ":" .. info.currentline
  end
end

-- The innermost line of the spell: "spell.lua:12", or nil. The kernel's code is stripped of names and
-- lines: what Lua reports as the line of a function in the host's memory is meaningless.
local function where()
  for level = 2, 400 do
    local info = getinfo(level, "Sl")
    local at = not info or place_of(info)
    if at then
      return info and at
    end
  end
end

local function begin()
  place = where() or place
  followed, taken, used = 0, {}, memory("count")
  return true
end

-- Whether the heap has grown much, to that many kibibytes; if so, the next instructions are followed.
local function grew(kibibytes)
  if kibibytes > grown + MUCH then
    grown = kibibytes
    return begin()
  elseif kibibytes < grown then
    grown = kibibytes
  end
  return false
end

-- The same for a string of that many kibibytes made by a C function.
local function grew_by(kibibytes)
  strings = strings + kibibytes
  if strings > MUCH then
    strings = 0
    return begin()
  end
  return false
end

-- The same during an allocation, when the collector has just finished a cycle.
local function sample()
  place = where() or place
  return grew(memory("count"))
end

local function finish()
  local most = 0
  for taker, kibibytes in next, taken do
    if kibibytes > most then
      most, place = kibibytes, taker
    end
  end
  followed, taken = huge, {}
end

-- Called by a hook: accounts for the previous instruction. Returns whether to follow the next one too.
local function follow()
  local took = memory("count") - used
  if took > 0 and place then
    taken[place] = (taken[place] or 0) + took
  end
  followed = followed + 1
  if followed > (next(taken) and MIN_STEPS or MAX_STEPS) then
    finish()
    return false
  end
  place = place_of(getinfo(3, "Sl")) or place -- in the kernel's code, keep the place of the call
  used = memory("count") -- includes what this function allocated
  return true
end

return {
  follow = follow,
  grew = grew,
  grew_by = grew_by,
  -- Where the heap last grew.
  place = function()
    return place
  end,
  sample = sample,
  where = where,
}
