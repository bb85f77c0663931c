-- Functions whose work is done by parts that are loaded when they are first called.

local part = ...

-- `return keep_frame(f(...))` is not a tail call: the error for a bad argument depends on the frame.
local function keep_frame(...)
  return ...
end

-- A function that loads a part at its first call, and calls the part's function `key`.
local function later(name, key)
  local f
  return function(...)
    if not f then
      f = part(name)[key]
    end
    return keep_frame(f(...))
  end
end

return { keep_frame = keep_frame, later = later }
