-- The globals of a spell: an allow-list. Nothing here leads out, runs unwatched or differs from
-- run to run. What touches the world (print, require, the clock, the bridges) the kernel adds.

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

-- C's returns the seed, which without an argument is made from an address.
function env.math.randomseed(a, b)
  if a == nil then
    a = random(0)
  end
  arguments.settled("randomseed", pcall(randomseed, a, b))
end

-- Methods of strings come from the spell's own table, whatever becomes of its globals.
local string_metatable = raw_metatable("")
string_metatable.__index = strings.string
string_metatable.__metatable = false

return { env = env }
