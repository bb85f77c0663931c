-- The globals of a spell: an allow-list. Nothing here gives access to the outside, runs unwatched or
-- differs between runs. globals.lua adds what reaches the outside (print, require, the bridges).

local part = ...
local next, randomseed, raw_metatable = next, math.randomseed, debug.getmetatable
local later, basics, strings = part("later").later, part("basics"), part("strings")

local env = {
  _VERSION = _VERSION,
  assert = assert,
  error = error,
  getmetatable = getmetatable,
  next = next,
  pairs = pairs,
  rawequal = rawequal,
  rawget = rawget,
  rawlen = rawlen,
  rawset = rawset,
  select = select,
  type = type,
  coroutine = { yield = part("parking").yield },
  math = {},
  os = { difftime = os.difftime },
  string = strings.string,
  table = part("tables"),
  utf8 = strings.utf8,
}
env._G = env
for name, value in next, basics do
  env[name] = value
end
for name, value in next, math do
  env.math[name] = value
end

for _, name in next, { "close", "create", "isyieldable", "resume", "running", "status", "wrap" } do
  env.coroutine[name] = later("coroutines", name)
end

env.math.randomseed = later("rarities", "randomseed")
randomseed(part("config").seed or 0)

-- String methods come from the spell's own table, even if the spell replaces the global `string`.
local string_metatable = raw_metatable("")
string_metatable.__index = strings.string
string_metatable.__metatable = false

return { env = env }
