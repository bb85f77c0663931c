-- The globals of a spell: an allow-list. Nothing here leads out, runs unwatched or differs from
-- run to run. What touches the world (print, require, the clock, the bridges) the kernel adds.

local part, guard, coroutines, config = ...
local next, type, pcall = next, type, pcall
local random, randomseed, date, time = math.random, math.randomseed, os.date, os.time
local raw_metatable = debug.getmetatable

local arguments = part("arguments", guard)
local basics = part("basics", guard, arguments)
local program = part("program", guard, config)
local matcher = part("matcher", guard)
local pattern = part("pattern", guard, arguments, program, matcher)
local strings = part("strings", guard, arguments, pattern, basics.tostring, config)
local tables = part("tables", guard, arguments)
tables.sort = part("sorting", guard, arguments)
local text, wrong_type, settled = arguments.text, arguments.wrong_type, arguments.settled

local MAX_DATE_FORMAT <const> = 1000

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
  coroutine = coroutines.library,
  math = {},
  os = { difftime = os.difftime },
  string = strings.string,
  table = tables,
  utf8 = strings.utf8,
}
env._G = env
for name, value in next, basics do
  env[name] = value
end
for name, value in next, math do
  env.math[name] = value
end
env.load = part("loading", guard, arguments, env)

randomseed(config.seed or 0)

-- C's returns the seed, which without an argument is made from an address.
function env.math.randomseed(a, b)
  if a == nil then
    a = random(0)
  end
  settled("randomseed", pcall(randomseed, a, b))
end

-- Methods of strings come from the spell's own table, whatever becomes of its globals.
local string_metatable = raw_metatable("")
string_metatable.__index = strings.string
string_metatable.__metatable = false

-- os.date for a given time. A field of `*t` more or less is all that depends on the time zone.
local function format_date(format, at)
  format = format == nil and "%c" or text(format, 1, "date")
  if #format > MAX_DATE_FORMAT then
    arguments.bad(1, "date", "format too long")
  end
  return settled("date", pcall(date, format, at))
end

local FIELDS <const> = { "year", "month", "day", "hour", "min", "sec", "isdst" }

-- os.time for a given date.
local function time_of(fields)
  if type(fields) ~= "table" then
    wrong_type(fields, "table", 1, "time")
  end
  local plain = {}
  for i = 1, #FIELDS do
    plain[FIELDS[i]] = fields[FIELDS[i]]
  end
  local result = settled("time", pcall(time, plain))
  for name, value in next, plain do
    fields[name] = value
  end
  return result
end

return {
  env = env,
  tostring = basics.tostring,
  explain = part("hints"),
  format_date = format_date,
  time_of = time_of,
}
