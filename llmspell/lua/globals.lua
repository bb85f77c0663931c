-- The globals of a spell beyond the guarded library: print, try, require, the tools, and those that the
-- Lua of bridges defines. Most bridges are loaded when a spell first uses one of their globals.

local part = ...
local guard, codec, scheduler = part("guard"), part("codec"), part("scheduler")
local config, env, tostring = part("config"), part("library").env, part("basics").tostring
local next, ipairs, select, type = next, ipairs, select, type
local setmetatable, rawget, rawset = setmetatable, rawget, rawset
local get_metatable, set_metatable = debug.getmetatable, debug.setmetatable
local concat, pack = table.concat, table.pack
local spack, find, match, gmatch = string.pack, string.find, string.match, string.gmatch

local PRINT <const> = 5 -- a record kind, see messages.py

local load = part("loading")
env.load = load

-- With a variable to be closed in scope, `return f()` is not a tail call, so errors keep their line.
local KEEPS_LINES <const> = "local _keeps_lines_of_llmspell <close> = nil; "

-- Compiles a whole file; returns its function, or nil and the error.
local function load_text(source, name)
  local chunk = load(KEEPS_LINES .. source, name, "t", env)
  if chunk then
    return chunk
  end
  return load(source, name, "t", env) -- for the error, or if it needs every local variable allowed
end

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

env.try = part("arguments").later("rarities", "try")

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

-- A bridge is a list of the globals that its Lua defines, with its bytecode as `code`, or the name of
-- one of the kernel's parts as `part`. A stand-in represents each global that is a table, and is also
-- stored in the list under its name. Once the Lua has run, `values` is what it returned.
local owners = {} -- bridges, by their stand-ins

-- Turns a stand-in into the value it represents.
local function become(stand_in, value)
  owners[stand_in] = nil
  set_metatable(stand_in, nil)
  for key, item in next, value do
    if rawget(stand_in, key) == nil then
      rawset(stand_in, key, item)
    end
  end
  return set_metatable(stand_in, get_metatable(value))
end

local function load_bridge(bridge)
  local values = bridge.values
  if not values then
    values = bridge.part and part(bridge.part) or part("compile")(bridge.code, part("trusted"))(part("host"))
    bridge.values = values
    for i = 1, #bridge do
      local name = bridge[i]
      if bridge[name] then
        values[name] = become(bridge[name], values[name])
      end
    end
  end
  return values
end

local function load_stand_in(stand_in)
  local owner = owners[stand_in]
  if owner then
    load_bridge(owner)
  end
  return stand_in
end

local stand_in_metatable = {
  __metatable = false,
  __index = function(t, key)
    return load_stand_in(t)[key]
  end,
  __newindex = function(t, key, value)
    load_stand_in(t)[key] = value
  end,
  __pairs = function(t)
    return next, load_stand_in(t)
  end,
}

-- Defines a global that loads its bridge at first use. It may be a library function such as "os.time".
local function define_later(bridge, name)
  if find(name, "^%u") then
    local stand_in = setmetatable({}, stand_in_metatable)
    env[name], bridge[name], owners[stand_in] = stand_in, stand_in, bridge
    return
  end
  local library, key = match(name, "^(%l+)%.(%l+)$")
  local place = library and env[library] or env
  place[key or name] = function(...)
    return load_bridge(bridge)[name](...)
  end
end

for name in gmatch(config.tools, "%S+") do
  define_tool(name)
end

return {
  define_tool = define_tool,
  load_text = load_text,
  write = write,
  -- Loads the Lua of bridges, or prepares to load it on demand. Called after everything else.
  add_bridges = function()
    for _, bridge in ipairs(part("bridges")) do
      for i = 1, #bridge do
        define_later(bridge, bridge[i])
      end
      if #bridge == 0 then
        for name, value in next, load_bridge(bridge) do
          env[name] = value
        end
      end
    end
  end,
}
