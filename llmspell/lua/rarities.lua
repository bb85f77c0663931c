-- Basic functions, and math.randomseed, that many spells never call.

local part = ...
local guard, arguments = part("guard"), part("arguments")
local type, tostring, tonumber, rawget, pcall = type, tostring, tonumber, rawget, pcall
local select, random, randomseed = select, math.random, math.randomseed
local setmetatable, raw_metatable = setmetatable, debug.getmetatable
local charge, fail, protected, find = guard.charge, guard.fail, part("protection").pcall, string.find
local bad, wrong_type, settled = arguments.bad, arguments.wrong_type, arguments.settled

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

local function expect_value(callee, ...)
  if select("#", ...) == 0 then
    bad(1, callee, "value expected")
  end
end

-- For values that are not strings, numbers or booleans.
local function spell_tostring(...)
  expect_value("tostring", ...)
  local value = ...
  if value == nil then
    return "nil"
  end
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

local function spell_tonumber(...)
  expect_value("tonumber", ...)
  local value, base = ...
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

-- The error of a message handler is passed to the handler, about as often as in C, which then runs out
-- of stack.
local ATTEMPTS <const>, OVERFLOW <const> = 190, "C stack overflow"

local function handled(handler, ok, ...)
  if ok then
    return true, ...
  end
  local problem, attempt = ..., 0
  repeat
    attempt = attempt + 1
    if attempt > ATTEMPTS then
      problem = OVERFLOW
    end
    ok, problem = protected(handler, problem)
    if ok then
      return false, problem == nil and "<no error object>" or problem
    end
  until attempt > ATTEMPTS or type(problem) == "string" and find(problem, "stack overflow", 1, true)
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

-- C's function returns the seed, which without an argument is derived from an address.
local function spell_randomseed(a, b)
  if a == nil then
    a = random(0)
  end
  settled("randomseed", pcall(randomseed, a, b))
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
  randomseed = spell_randomseed,
  setmetatable = spell_setmetatable,
  tonumber = spell_tonumber,
  tostring = spell_tostring,
  try = try,
  xpcall = spell_xpcall,
}
