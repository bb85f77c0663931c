-- The trusted part of a state: loads the other parts and the bridges, and is the root coroutine,
-- the only one the host resumes. Messages come in through a mailbox and go out as the one string
-- the root yields; messages.py describes them.

local parts, mailbox, config = ...
local next, select, type, setmetatable, rawget, rawset = next, select, type, setmetatable, rawget, rawset
local get_metatable, set_metatable, set_upvalue = debug.getmetatable, debug.setmetatable, debug.setupvalue
local find = string.find
local concat, pack, unpack = table.concat, table.pack, table.unpack
local spack, sunpack = string.pack, string.unpack
local yield = coroutine.yield

local function part(name, ...)
  return parts[name](...)
end

local guard = part("guard", config)
local coroutines = part("coroutines", guard)
local library = part("library", part, guard, coroutines, config)
local codec = part("codec", config)
local env, tostring = library.env, library.tostring
local errors = part("errors", tostring, guard.where)
local reports = part("reports", guard, codec, tostring, library.explain)
local scheduler = part("scheduler", guard, coroutines, codec, errors, reports, tostring)
local perform, reply, fail = scheduler.perform, scheduler.reply, errors.fail
local decode = codec.decode

local load_chunk = env.load
local function load_text(source, name)
  return load_chunk(source, name, "t", env)
end

local REPLY, REFUSAL, CALL, RELEASE, ABORT, KILL, MAIN = 1, 2, 3, 4, 5, 6, 7 -- records that come in
local PRINT = 5 -- goes out
local WAIT, MORE, KILLED, LOAD = "w", "m", "k", "l" -- first byte of what the root yields

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

local function open_environment()
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
end

local function run_main(name, source, params, arguments)
  local chunk, message = load_text(source, name)
  if not chunk then
    fail("spell_syntax", message)
  end
  env.params, env.arg = params, arguments
  return chunk(unpack(arguments))
end

-- Acts on a record that is no reply; returns where the next begins.
local function receive(kind, number, message, at)
  if kind == REFUSAL then
    local e
    e, at = decode(message, at)
    scheduler.reply(number, e, "error")
  elseif kind == CALL then
    local path, id, args
    path, id, at = sunpack("<s2i8", message, at)
    args, at = decode(message, at)
    scheduler.start(path, nil, codec.lent(id), pack(unpack(args)), number)
  elseif kind == MAIN then
    local name, source, params, arguments
    name, source, at = sunpack("<s4s4", message, at)
    params, at = decode(message, at)
    arguments, at = decode(message, at)
    scheduler.start("0", nil, run_main, pack(name, source, params, arguments), number)
  elseif kind == RELEASE then
    codec.release(number)
  elseif kind == ABORT then
    scheduler.abort(number)
  elseif kind == KILL then
    local limit, reason
    limit, reason, at = sunpack("<s4s4", message, at)
    scheduler.reply(number, { limit = limit, reason = reason }, "kill")
  end
  return at
end

local function read(message)
  local at, last = 1, #message
  while at <= last do
    local kind, number, after = sunpack("<BI4", message, at)
    if kind == REPLY then
      local value
      value, at = decode(message, after)
      reply(number, value)
    else
      at = receive(kind, number, message, after)
    end
  end
end

local instructions, seconds = config.instructions, config.time

local function turn()
  local message = mailbox[1]
  mailbox[1] = nil
  guard.refuel(instructions, seconds)
  read(message)
  local more = scheduler.run()
  while more do
    local number = scheduler.next_fetch()
    if not number then
      break
    end
    mailbox[2] = number
    yield(LOAD)
    lazy[number].load = mailbox[2]
    set_upvalue(mailbox[2], 1, trusted)
    more = scheduler.run()
  end
  if more == nil then
    mailbox[2], mailbox[3], mailbox[4], mailbox[5] = guard.killed()
    return codec.take(KILLED)
  end
  return codec.take(more and MORE or WAIT)
end

local function root()
  while true do
    yield(turn())
  end
end

open_environment()
part("lockdown")
return root
