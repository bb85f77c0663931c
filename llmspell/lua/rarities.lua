-- Basic functions that many spells never call.

local part = ...
local guard, arguments = part("guard"), part("arguments")
local type, tostring, tonumber, rawget, pcall = type, tostring, tonumber, rawget, pcall
local setmetatable, raw_metatable = setmetatable, debug.getmetatable
local charge, fail, protected = guard.charge, guard.fail, guard.pcall
local wrong_type, settled = arguments.wrong_type, arguments.settled

-- Objects are numbered when first shown, so that replays show the same numbers.
local numbers, last_number = setmetatable({}, { __mode = "k" }), 0

local function number_of(value)
  local number = numbers[value]
  if not number then
    number = last_number + 1
    numbers[value], last_number = number, number
  end
  return number
end

-- Formats a value that is not a string, number, boolean or nil.
local function show(value)
  local metatable = raw_metatable(value)
  local convert = metatable and rawget(metatable, "__tostring")
  if convert ~= nil then
    local text = convert(value)
    if type(text) ~= "string" and type(text) ~= "number" then
      fail("'__tostring' must return a string")
    end
    return tostring(text)
  end
  local name = metatable and rawget(metatable, "__name")
  return (type(name) == "string" and name or type(value)) .. ": " .. number_of(value)
end

local function spell_tonumber(value, base)
  if type(value) == "string" then
    charge(#value)
  end
  if base == nil then
    return tonumber(value)
  end
  return settled("tonumber", pcall(tonumber, value, base))
end

local function spell_setmetatable(t, metatable)
  if type(t) ~= "table" then
    wrong_type(t, "table", 1, "setmetatable")
  elseif metatable ~= nil and type(metatable) ~= "table" then
    wrong_type(metatable, "nil or table", 2, "setmetatable")
  elseif metatable and rawget(metatable, "__gc") ~= nil then
    fail("__gc is not available in spells; use a <close> variable")
  end
  local present = raw_metatable(t)
  if present and rawget(present, "__metatable") ~= nil then
    fail("cannot change a protected metatable")
  end
  return setmetatable(t, metatable)
end

local ATTEMPTS <const> = 10 -- at handling the error of a message handler

local function handled(handler, ok, ...)
  if ok then
    return true, ...
  end
  local problem = ...
  for _ = 1, ATTEMPTS do
    ok, problem = protected(handler, problem)
    if ok then
      return false, problem == nil and "<no error object>" or problem
    end
  end
  return false, "error in error handling"
end

-- The handler is called after the stack has been unwound. Lua would call it where the error is raised,
-- with hooks disabled if a hook raised it.
local function spell_xpcall(f, handler, ...)
  if type(handler) ~= "function" then
    wrong_type(handler, "function", 2, "xpcall")
  end
  return handled(handler, protected(f, ...))
end

local function result_or_error(ok, ...)
  if ok then
    return ...
  end
  return nil, (...)
end

local function try(f, ...)
  return result_or_error(protected(f, ...))
end

-- Memory in use depends on the collector's pace and would differ between runs, so it is not reported.
local gc_answers = { collect = 0, step = true, isrunning = true, count = 100.0 }

local function spell_collectgarbage(option)
  local answer = gc_answers[option == nil and "collect" or option]
  if answer == nil then
    fail("collectgarbage: spells cannot set the collector; the [limits] memory setting bounds the heap")
  end
  return answer
end

return {
  collectgarbage = spell_collectgarbage,
  setmetatable = spell_setmetatable,
  show = show,
  tonumber = spell_tonumber,
  try = try,
  xpcall = spell_xpcall,
}
