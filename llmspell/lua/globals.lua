-- The globals of a spell beyond the guarded library: print, try, require, the tools, and those that the
-- Lua of bridges defines. Most bridges are loaded when a spell first uses one of their globals.

local part = ...
local guard, codec, scheduler = part("guard"), part("codec"), part("scheduler")
local config, bridges = part("config"), part("bridges")
local env, tostring = part("library").env, part("basics").tostring
local next, ipairs, select, type, setmetatable = next, ipairs, select, type, setmetatable
local concat, pack = table.concat, table.pack
local byte, match, spack, sunpack = string.byte, string.match, string.pack, string.unpack

local PRINT <const> = 5 -- a record kind, see messages.py
local SMALL_A <const> = 97 -- a byte; names of tables begin with a capital letter

local written = 0

-- Has the host write text to the output as it is.
local function write(text)
  written = written + #text
  if written > config.output then
    guard.kill("output", "output limit exceeded")
  end
  guard.charge(#text // 16)
  codec.put(spack("<Bs4", PRINT, text))
  scheduler.pause()
end

function env.print(...)
  local texts = pack(...)
  for i = 1, texts.n do
    texts[i] = tostring(texts[i])
  end
  write(concat(texts, "\t", 1, texts.n) .. "\n")
end

function env.require(name)
  return part("modules")(name)
end

local function call_tool(name, args, ...)
  if args ~= nil and type(args) ~= "table" or select("#", ...) > 0 then
    part("refusals").misuse(name)
  end
  return scheduler.perform("tool.call", { name = name, args = args or {} })
end

local function define_tool(name)
  env[name] = function(...)
    return call_tool(name, ...)
  end
end

-- Names of globals whose bridge is not loaded, by the tables that stand in for them.
local stand_ins = {}

local function loaded(stand_in)
  local name = stand_ins[stand_in]
  if name then
    part("bridge_loading").globals_of(bridges.owners[name])
  end
  return stand_in
end

local stand_in_metatable = {
  __metatable = false,
  __index = function(t, key)
    return loaded(t)[key]
  end,
  __newindex = function(t, key, value)
    loaded(t)[key] = value
  end,
  __pairs = function(t)
    return next, loaded(t)
  end,
}

-- Defines a global that loads its bridge at first use. It may be a library function such as "os.time".
local function define_later(name, bridge)
  if byte(name) < SMALL_A then
    local stand_in = setmetatable({}, stand_in_metatable)
    env[name], stand_ins[stand_in] = stand_in, name
    return
  end
  local library, key = match(name, "^(%l+)%.(%l+)$")
  local place = library and env[library] or env
  place[key or name] = function(...)
    return part("bridge_loading").globals_of(bridge)[name](...)
  end
end

local at = 1
while at <= #config.tools do
  local name
  name, at = sunpack("z", config.tools, at)
  define_tool(name)
end

return {
  define_tool = define_tool,
  write = write,
  stand_ins = stand_ins,
  -- Prepares to load the Lua of bridges, or loads it at once. Called after everything else.
  add_bridges = function()
    for name, bridge in next, bridges.owners do
      define_later(name, bridge)
    end
    for _, bridge in ipairs(bridges.eager) do
      for name, value in next, part("bridge_loading").globals_of(bridge) do
        env[name] = value
      end
    end
  end,
}
