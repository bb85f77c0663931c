-- What to use instead of what spells do not have.

local match = string.match

local FILES <const> = "spells have no io: use a file tool, such as read_file{path = …} or write_file{path = …, text = …}"
local PROCESSES <const> = "spells cannot start or end processes: use a tool that does what is needed"
local CODE <const> = "spells load code from text with load, and modules with require"

local hints = {
  ["global 'io'"] = FILES,
  ["global 'dofile'"] = CODE,
  ["global 'loadfile'"] = CODE,
  ["global 'loadstring'"] = "loadstring is load since Lua 5.2",
  ["global 'package'"] = "require finds modules beside the spell and in lua_modules; there is nothing to set",
  ["global 'debug'"] = "use the global Debug, or error and pcall",
  ["global 'setfenv'"] = "give load an environment as its fourth argument",
  ["global 'getfenv'"] = "the environment is the variable _ENV since Lua 5.2",
  ["global 'unpack'"] = "unpack is table.unpack since Lua 5.2",
  ["global 'warn'"] = "use Log.warn",
  ["field 'execute'"] = PROCESSES,
  ["field 'exit'"] = "return from the spell to end it, or call error",
  ["field 'remove'"] = FILES,
  ["field 'rename'"] = FILES,
  ["field 'tmpname'"] = FILES,
  ["field 'setlocale'"] = "the locale is always C",
  ["field 'dump'"] = "functions cannot be turned into bytecode here; keep their source text",
  ["method 'dump'"] = "functions cannot be turned into bytecode here; keep their source text",
  ["field 'pow'"] = "math.pow(x, y) is x ^ y since Lua 5.3",
  ["field 'getn'"] = "table.getn(t) is #t since Lua 5.1",
  ["field 'create'"] = "tables grow by themselves: {} will do",
}

-- The hint for an error such as "attempt to index a nil value (global 'io')", or nil.
return function(message)
  local name = match(message, "a nil value %((%l+ '[%w_]+')%)")
  return name and hints[name]
end
