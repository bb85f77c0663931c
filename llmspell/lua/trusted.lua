-- The globals of the Lua of bridges.

local part = ...

return {
  string = string,
  table = table,
  math = math,
  assert = assert,
  error = error,
  getmetatable = getmetatable,
  ipairs = ipairs,
  next = next,
  pairs = pairs,
  pcall = part("protection").pcall,
  rawequal = rawequal,
  rawget = rawget,
  rawlen = rawlen,
  rawset = rawset,
  select = select,
  setmetatable = setmetatable,
  tonumber = tonumber,
  tostring = part("basics").tostring,
  type = type,
}
