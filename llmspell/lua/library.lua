-- The globals of a spell: an allow-list. Nothing here gives access to the outside, runs unwatched or
-- differs between runs. globals.lua adds what reaches the outside (print, require, the bridges).

local part = ...
local next, pcall = next, pcall
local random, randomseed = math.random, math.randomseed
local raw_metatable = debug.getmetatable

local arguments, basics, strings = part("arguments"), part("basics"), part("strings")

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
  env.coroutine[name] = arguments.later("coroutines", name)
end

randomseed(part("config").seed or 0)

-- C's function returns the seed, which without an argument is derived from an address.
function env.math.randomseed(a, b)
  if a == nil then
    a = random(0)
  end
  arguments.settled("randomseed", pcall(randomseed, a, b))
end

-- String methods come from the spell's own table, even if the spell replaces the global `string`.
local string_metatable = raw_metatable("")
string_metatable.__index = strings.string
string_metatable.__metatable = false

return { env = env }
