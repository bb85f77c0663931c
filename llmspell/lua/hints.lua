-- Hints on what to use instead of globals and functions that spells do not have.

local match = string.match

local FILES <const> =
  "spells access files with tools, such as read_file{path = ...}, not with io, os.remove or os.rename"
local STREAMS <const> = FILES .. "; Console.lines reads, Console.write writes"
local CODE <const> = "spells load text with load and modules with require, not with dofile or loadfile"
local WAIT <const> = "wait with Task.sleep(seconds)"
local BYTECODE <const> = "string.dump does not exist, as bytecode cannot be loaded; keep the source text"

-- By the description in Lua's error. Fields are those of os, string, math and table.
local hints = {
  ["global 'io'"] = STREAMS,
  ["global 'dofile'"] = CODE,
  ["global 'loadfile'"] = CODE,
  ["global 'loadstring'"] = "loadstring is load since Lua 5.2",
  ["global 'package'"] = "require searches the spell's folder and lua_modules; there is no package table",
  ["global 'debug'"] = "the global Debug shows values and times; error and pcall handle errors",
  ["global 'setfenv'"] = "setfenv is gone since Lua 5.2; load takes an environment as its fourth argument",
  ["global 'getfenv'"] = "getfenv is gone since Lua 5.2; the environment is the variable _ENV",
  ["global 'unpack'"] = "unpack is table.unpack since Lua 5.2",
  ["global 'warn'"] = "use Log.warn",
  ["global 'sleep'"] = WAIT,
  ["field 'sleep'"] = WAIT,
  ["field 'execute'"] = "spells run programs with run_program{program = ..., args = {...}}, not with os.execute",
  ["field 'exit'"] = "instead of os.exit, return from the spell or raise an error",
  ["field 'remove'"] = FILES,
  ["field 'rename'"] = FILES,
  ["field 'tmpname'"] = FILES,
  ["field 'setlocale'"] = "os.setlocale does not exist; the locale is always C",
  ["field 'dump'"] = BYTECODE,
  ["method 'dump'"] = BYTECODE,
  ["field 'pow'"] = "math.pow(x, y) is x ^ y since Lua 5.3",
  ["field 'getn'"] = "table.getn(t) is #t since Lua 5.1",
}

local iterators = {
  table = "in a for loop, go through a table t with pairs(t) or ipairs(t)",
  number = "a for loop over numbers is written: for i = 1, 10 do",
}

-- The hint for an error such as "attempt to index a nil value (global 'io')", or nil.
return function(message)
  local name = match(message, "a nil value %((%l+ '[%w_]+')%)")
  if name then
    return hints[name]
  end
  return iterators[match(message, "attempt to call a (%l+) value %(for iterator")]
end
