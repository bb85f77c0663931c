-- Loads the Lua of bridges, and replaces what stood in for their globals. Since this happens in the middle
-- of a spell, it may fail at any point for lack of stack; it then goes on at the next use.

local part = ...
local bridges, stand_ins = part("bridges"), part("globals").stand_ins
local next, rawget, rawset = next, rawget, rawset
local get_metatable, set_metatable = debug.getmetatable, debug.setmetatable

-- Turns a stand-in into the value it represents.
local function become(stand_in, value)
  for key, item in next, value do
    if rawget(stand_in, key) == nil then
      rawset(stand_in, key, item)
    end
  end
  set_metatable(stand_in, get_metatable(value))
  stand_ins[stand_in] = nil
  return stand_in
end

-- The globals of bridges, by bridge: of those that are loaded, and of those that nothing stands in for.
local loaded, complete = {}, {}

local function load_bridge(bridge)
  local code = bridges.codes[bridge]
  loaded[bridge] = code and part("compile")(code, part("trusted"))(part("host")) or part(bridge)
  return loaded[bridge]
end

-- Returns the globals of a bridge: its Lua, or one of the kernel's parts, returns a table of them.
local function globals_of(bridge)
  local values = complete[bridge]
  if values then
    return values
  end
  values = loaded[bridge] or load_bridge(bridge)
  for stand_in, name in next, stand_ins do
    if bridges.owners[name] == bridge then
      values[name] = become(stand_in, values[name])
    end
  end
  complete[bridge] = values
  return values
end

return { globals_of = globals_of }
