-- Where the heap grows. When memory runs out the error unwinds the stack and tells nothing, so the place
-- has to be known by then: each time much was added, some instructions are followed one by one.

local part = ...
local getinfo, memory, next, huge = debug.getinfo, collectgarbage, next, math.huge

local MUCH <const> = (part("config").memory or 64 << 20) / 16384 -- kibibytes: a sixteenth of what there is
local OURS <const> = "=?" -- the source of stripped code
local LEAST <const>, MOST <const> = 100, 1000 -- instructions to follow; the most if they take no memory

local grown = 0 -- kibibytes in use when the heap last grew by much
local made = 0 -- kibibytes of texts since then that Lua does not count
local place -- where it last grew, or what is followed stands
local followed, used = huge, 0 -- instructions, and kibibytes in use after the last
local taken = {} -- kibibytes that they took, by place

local function place_of(info)
  if info.currentline > 0 and info.source ~= OURS then
    return info.short_src .. ":" .. info.currentline
  end
end

-- The innermost line of the spell: "spell.lua:12", or nil. Our own code is stripped of names and
-- lines: what Lua takes for the line of a function that lies in the host's memory means nothing.
local function where()
  for level = 2, 400 do
    local info = getinfo(level, "Sl")
    local found = not info or place_of(info)
    if found then
      return info and found
    end
  end
end

local function begin()
  place = where() or place
  followed, taken, used = 0, {}, memory("count")
  return true
end

-- Of so many kibibytes in use: has much been added? Then the next instructions are to be followed.
local function grew(kibibytes)
  if kibibytes > grown + MUCH then
    grown = kibibytes
    return begin()
  elseif kibibytes < grown then
    grown = kibibytes
  end
  return false
end

-- The same of a text of so many kibibytes that a C function made.
local function grew_by(kibibytes)
  made = made + kibibytes
  if made > MUCH then
    made = 0
    return begin()
  end
  return false
end

-- The same in the midst of what allocates, where the collector has just ended a cycle.
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

-- Called by a hook: looks at the instruction before this one. Is the next to be followed as well?
local function follow()
  local took = memory("count") - used
  if took > 0 and place then
    taken[place] = (taken[place] or 0) + took
  end
  followed = followed + 1
  if followed > (next(taken) and LEAST or MOST) then
    finish()
    return false
  end
  place = place_of(getinfo(3, "Sl")) or place -- in our own code it is that of the call
  used = memory("count") -- with what it took to find out
  return true
end

return {
  follow = follow,
  grew = grew,
  grew_by = grew_by,
  -- Where the heap grew last.
  place = function()
    return place
  end,
  sample = sample,
  where = where,
}
