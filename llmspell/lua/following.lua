-- Finds out which line of the spell makes the heap grow: after each large increase, some instructions are
-- followed one by one.

local getinfo, memory, next, huge = debug.getinfo, collectgarbage, next, math.huge

local OURS <const> = "=?" -- the source of stripped code
local MIN_STEPS <const>, MAX_STEPS <const> = 100, 1000 -- to follow; the second if they allocate nothing

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

-- Remembers the running line as the place.
local function notice()
  place = where() or place
end

local function begin()
  notice()
  followed, taken, used = 0, {}, memory("count")
  return true
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
  begin = begin,
  follow = follow,
  notice = notice,
  -- Where the heap last grew.
  place = function()
    return place
  end,
  where = where,
}
