-- Notices when the heap grows much. When memory runs out, the error unwinds the stack without a trace, so
-- the place has to be known by then: following.lua finds it.

local part = ...
local memory = collectgarbage

local MUCH <const> = (part("config").memory or 64 << 20) / 16384 -- kibibytes: 1/16 of the memory limit

local grown = 0 -- kibibytes in use after the last large increase
local strings = 0 -- kibibytes of strings since then that Lua's counter does not include

-- Whether the heap has grown much, to that many kibibytes; if so, the next instructions are followed.
local function grew(kibibytes)
  if kibibytes > grown + MUCH then
    grown = kibibytes
    return part("following").begin()
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
    return part("following").begin()
  end
  return false
end

-- The same during an allocation, when the collector has just finished a cycle.
local function sample()
  part("following").notice()
  return grew(memory("count"))
end

return { grew = grew, grew_by = grew_by, sample = sample }
