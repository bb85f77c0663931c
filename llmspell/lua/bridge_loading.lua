-- Loads the Lua of bridges, and replaces what stood in for their globals.

local part = ...
local bridges, stand_ins = part("bridges"), part("globals").stand_ins
local next, rawget, rawset = next, rawget, rawset
local get_metatable, set_metatable = debug.getmetatable, debug.setmetatable

-- Turns a stand-in into the value it represents.
local function become(stand_in, value)
  stand_ins[stand_in] = nil
  set_metatable(stand_in, nil)
  for key, item in next, value do
    if rawget(stand_in, key) == nil then
      rawset(stand_in, key, item)
    end
  end
  return set_metatable(stand_in, get_metatable(value))
end

-- The globals of bridges that are loaded, by bridge.
local loaded = {}

-- Returns the globals of a bridge: its Lua, or one of the kernel's parts, returns a table of them.
local function globals_of(bridge)
  local values = loaded[bridge]
  if values then
    return values
  end
  local code = bridges.codes[bridge]
  values = code and part("compile")(code, part("trusted"))(part("host")) or part(bridge)
  loaded[bridge] = values
  for stand_in, name in next, stand_ins do
    if bridges.owners[name] == bridge then
      values[name] = become(stand_in, values[name])
    end
  end
  return values
end

return { globals_of = globals_of }
