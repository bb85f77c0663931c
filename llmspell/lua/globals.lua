-- The globals of a spell beyond the guarded library: print, try, require, the tools, and what the
-- Lua of bridges makes. That of most bridges is loaded when a spell first uses one of its globals.

local part, guard, library, codec, errors, scheduler, config = ...
local next, select, type, setmetatable, rawget, rawset = next, select, type, setmetatable, rawget, rawset
local get_metatable, set_metatable, set_upvalue = debug.getmetatable, debug.setmetatable, debug.setupvalue
local concat, pack, unpack = table.concat, table.pack, table.unpack
local spack, find = string.pack, string.find

local env, tostring = library.env, library.tostring
local perform, fail = scheduler.perform, errors.fail

local PRINT = 5 -- a record of the outbox, see messages.py

local load_chunk = env.load
local function load_text(source, name)
  return load_chunk(source, name, "t", env)
end

local printed = 0

local function print(...)
  local texts = pack(...)
  for i = 1, texts.n do
    texts[i] = tostring(texts[i])
  end
  local line = concat(texts, "\t", 1, texts.n)
  printed = printed + #line + 1
  if printed > config.output then
    guard.kill("output", "output limit exceeded")
  end
  guard.charge(#line // 16)
  codec.put(spack("<Bs4", PRINT, line))
  scheduler.pause()
end

local function try(f, ...)
  local results = pack(guard.pcall(f, ...))
  if results[1] then
    return unpack(results, 2, results.n)
  end
  return nil, results[2]
end

local function define_tool(name)
  env[name] = function(args, ...)
    if args ~= nil and type(args) ~= "table" or select("#", ...) > 0 then
      fail(
        "invalid_arguments",
        name .. " takes one table of named arguments",
        "write " .. name .. "{name = value}"
      )
    end
    return perform("tool.call", { name = name, args = args or {} })
  end
end

local host = {
  perform = perform,
  fail = fail,
  null = codec.null,
  tostring = tostring,
  env = env,
  format_date = library.format_date,
  time_of = library.time_of,
  define_tool = define_tool,
}

-- What the Lua of bridges finds as its globals: the real ones are gone when it runs.
local function copy(t)
  local twin = {}
  for key, value in next, t do
    twin[key] = value
  end
  return twin
end

local trusted = {
  string = copy(string),
  table = copy(table),
  math = copy(math),
  assert = assert,
  error = error,
  getmetatable = getmetatable,
  ipairs = ipairs,
  next = next,
  pairs = pairs,
  pcall = guard.pcall,
  rawequal = rawequal,
  rawget = rawget,
  rawlen = rawlen,
  rawset = rawset,
  select = select,
  setmetatable = setmetatable,
  tonumber = tonumber,
  tostring = tostring,
  type = type,
}

-- Parts that are loaded when first used: each is a list of the globals it makes, and once loaded
-- also the function it was compiled to.
local lazy = config.lazy

local function fill(stand_in, value)
  set_metatable(stand_in, nil)
  for key, item in next, value do
    if rawget(stand_in, key) == nil then
      rawset(stand_in, key, item)
    end
  end
  return set_metatable(stand_in, get_metatable(value))
end

local function use(number)
  local wanted = lazy[number]
  if not wanted.load then
    scheduler.fetch(number)
  end
  if not wanted.values then
    wanted.values = wanted.load(host, scheduler, errors)
    for name, stand_in in next, wanted.stand_ins do
      wanted.values[name] = fill(stand_in, wanted.values[name])
    end
  end
  return wanted.values
end

-- Until it is loaded, a table stands in for itself, and a function for the function.
local function stand_in(number, name)
  if not find(name, "^%u") then
    env[name] = function(...)
      return use(number)[name](...)
    end
    return
  end
  local function loaded(t)
    use(number)
    return t
  end
  env[name] = setmetatable({}, {
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
  })
  lazy[number].stand_ins[name] = env[name]
end

env.print, env.try = print, try
env.require = part("modules", scheduler, errors, load_text)
for i = 1, #config.tools do
  define_tool(config.tools[i])
end
for i = 1, #config.bridges do
  for name, value in next, part(config.bridges[i], trusted, host) do
    env[name] = value
  end
end
for number = 1, #lazy do
  lazy[number].stand_ins = {}
  for i = 1, #lazy[number] do
    stand_in(number, lazy[number][i])
  end
end

return {
  load_text = load_text,
  -- Takes the function that a part was compiled to.
  loaded = function(number, load)
    set_upvalue(load, 1, trusted)
    lazy[number].load = load
  end,
}
