-- Arguments of library functions: checked and converted as C does, with C's error messages, raised
-- at the spell's line.

local part = ...
local guard = part("guard")
local type, tostring, tonumber, match = type, tostring, tonumber, string.match
local math_type, to_integer = math.type, math.tointeger
local getinfo, raw_metatable, rawget = debug.getinfo, debug.getmetatable, rawget
local fail, check = guard.fail, guard.check

-- Whether the spell called the library function as a method.
local function called_as_method()
  local kind
  for level = 2, 16 do
    local info = getinfo(level, "nS")
    if not info or info.source ~= "=?" and info.source ~= "=[C]" then
      return kind == "method"
    end
    kind = info.namewhat
  end
end

local function bad(position, callee, problem)
  if called_as_method() then
    position = position - 1
    if position == 0 then
      fail("calling '" .. callee .. "' on bad self (" .. problem .. ")")
    end
  end
  fail("bad argument #" .. position .. " to '" .. callee .. "' (" .. problem .. ")")
end

local function type_name(value)
  local metatable = raw_metatable(value)
  local name = metatable and rawget(metatable, "__name")
  return type(name) == "string" and name or type(value)
end

local function wrong_type(value, expected, position, callee)
  bad(position, callee, expected .. " expected, got " .. type_name(value))
end

local function text(value, position, callee)
  local kind = type(value)
  if kind == "string" then
    return value
  elseif kind == "number" then
    return tostring(value)
  end
  wrong_type(value, "string", position, callee)
end

local function integer(value, default, position, callee)
  if value == nil and default then
    return default
  elseif math_type(value) == "integer" then
    return value
  end
  local kind = type(value)
  local whole = (kind == "number" or kind == "string") and to_integer(value)
  if whole then
    return whole
  elseif kind == "number" then
    bad(position, callee, "number has no integer representation")
  end
  wrong_type(value, "number", position, callee)
end

-- Resolves a position in a sequence of `size`; negative positions count from the end.
local function start(value, size, position, callee)
  local at = integer(value, 1, position, callee)
  if at > 0 then
    return at
  elseif at == 0 or at < -size then
    return 1
  end
  return size + at + 1
end

-- The length of a table; a __len metamethod may return anything.
local function length(t)
  local n = #t
  if math_type(n) == "integer" then
    return n
  end
  return (type(n) == "number" or type(n) == "string") and to_integer(n)
    or fail("object length is not an integer")
end

-- Returns the results of a pcall of a C function; raises its error as if the spell had called it.
local function settled(callee, ok, ...)
  if ok then
    return ...
  end
  local message = check((...), true)
  local position, problem = match(message, "^bad argument #(%d+) to '%?' %((.*)%)$")
  if position then
    bad(tonumber(position), callee, problem)
  end
  fail(message)
end

return {
  bad = bad,
  integer = integer,
  length = length,
  settled = settled,
  start = start,
  text = text,
  wrong_type = wrong_type,
}
