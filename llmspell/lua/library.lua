-- The globals of a spell: an allow-list. Nothing here gives access to the outside, runs unwatched or
-- differs between runs. globals.lua adds what reaches the outside (print, require, the bridges).

local part = ...
local next, randomseed, raw_metatable = next, math.randomseed, debug.getmetatable
local later, basics, strings = part("later").later, part("basics"), part("strings")

local env = {
  _VERSION = _VERSION,
  assert = assert,
  collectgarbage = later("rarities", "collectgarbage"),
  error = error,
  getmetatable = getmetatable,
  ipairs = basics.ipairs,
  load = later("loading", "load"),
  next = next,
  pairs = pairs,
  pcall = part("protection").pcall,
  rawequal = rawequal,
  rawget = rawget,
  rawlen = rawlen,
  rawset = rawset,
  select = select,
  setmetatable = basics.setmetatable,
  tonumber = basics.tonumber,
  tostring = basics.tostring,
  try = later("rarities", "try"),
  type = type,
  xpcall = later("rarities", "xpcall"),
  coroutine = {
    close = later("coroutines", "close"),
    create = later("coroutines", "create"),
    isyieldable = later("coroutines", "isyieldable"),
    resume = later("coroutines", "resume"),
    running = later("coroutines", "running"),
    status = later("coroutines", "status"),
    wrap = later("coroutines", "wrap"),
    yield = part("parking").yield,
  },
  math = {},
  os = { difftime = os.difftime },
  string = strings.string,
  table = part("tables"),
  utf8 = strings.utf8,
}
env._G = env
for name, value in next, math do
  env.math[name] = value
end
env.math.randomseed = later("rarities", "randomseed")
randomseed(part("config").seed or 0)

-- String methods come from the spell's own table, even if the spell replaces the global `string`.
local string_metatable = raw_metatable("")
string_metatable.__index = strings.string
string_metatable.__metatable = false

return { env = env }
