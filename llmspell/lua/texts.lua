-- The string and utf8 libraries in general. Functions whose cost in C is proportional to a string's size
-- are charged.

local part = ...
local guard, arguments, config = part("guard"), part("arguments"), part("config")
local tostring, strings = part("basics").tostring, part("strings")
local formats, joins = strings.formats, strings.joins
local next, pcall, type = next, pcall, type
local rep, format = string.rep, string.format
local pack, gmatch = string.pack, string.gmatch
local pack_values, unpack_values = table.pack, table.unpack
local charge, fail, noticed = guard.charge, guard.fail, guard.noticed
local text, integer, settled = arguments.text, arguments.integer, arguments.settled

local MAX_STRING <const> = config.memory or math.maxinteger // 2
local CACHE_SIZE <const>, CACHED_LENGTH <const> = 200, 200
local LATER <const> = 8 -- one bit for all arguments after the third

for n = 0, 100 do
  strings.few[n] = true
end

local function spell_rep(s, n, separator)
  s, n = text(s, 1, "rep"), integer(n, nil, 2, "rep")
  separator = separator == nil and "" or text(separator, 3, "rep")
  local size = #s + #separator
  if n <= 0 or size == 0 then
    return ""
  elseif n > MAX_STRING // size then
    fail("resulting string too large")
  end
  charge(n * size // 16)
  return noticed(settled("rep", pcall(rep, s, n, separator)))
end

-- Wraps a function of one string.
local function charged(callee, f)
  return function(s)
    s = text(s, 1, callee)
    charge(#s // 4)
    return settled(callee, pcall(f, s))
  end
end

-- Wraps a function whose first argument is a string, and that checks its arguments itself.
local function sized(callee, f)
  return function(s, ...)
    if type(s) == "string" then
      charge(#s // 2)
    end
    return settled(callee, pcall(f, s, ...))
  end
end

local function spell_pack(...)
  local result = settled("pack", pcall(pack, ...))
  charge(#result // 16)
  return noticed(result)
end

-- The conversion letters of a format, in order.
local function parse(f)
  charge(#f)
  local letters = {}
  for options, letter in gmatch(f, "%%([-+ #%d.]*)(.?)") do
    if letter == "p" then
      fail("invalid conversion '%p' to 'format': addresses are not available to spells")
    elseif letter ~= "%" or options ~= "" then
      letters[#letters + 1] = letter
    end
  end
  return letters
end

local cached = 0

-- Caches for strings.lua which of the first three arguments are formatted by %s, and how to format by
-- joining.
local function remember(f, letters)
  local texts = 0
  for i = 1, #letters do
    if letters[i] == "s" then
      texts = texts | (i > 3 and LATER or 1 << i - 1)
    end
  end
  if #f > CACHED_LENGTH or texts >= LATER or formats[f] then
    return
  elseif cached == CACHE_SIZE then
    for known in next, formats do
      formats[known], joins[known] = nil, nil
    end
    cached = 0
  end
  formats[f], joins[f], cached = texts, part("joining")(f), cached + 1
end

local function formatted(ok, result)
  if not ok then
    return settled("format", ok, result)
  end
  charge(#result // 16)
  return noticed(result)
end

local function spell_format(f, ...)
  f = text(f, 1, "format")
  local letters = parse(f)
  remember(f, letters)
  local values = pack_values(...)
  for i = 1, #letters do
    local kind = type(values[i])
    if letters[i] == "s" and kind ~= "string" and kind ~= "number" and i <= values.n then
      values[i] = tostring(values[i])
    end
  end
  return (formatted(pcall(format, f, unpack_values(values, 1, values.n))))
end

return {
  format = spell_format,
  formatted = formatted,
  len = sized("len", utf8.len),
  lower = charged("lower", string.lower),
  offset = sized("offset", utf8.offset),
  pack = spell_pack,
  packsize = sized("packsize", string.packsize),
  rep = spell_rep,
  reverse = charged("reverse", string.reverse),
  unpack = sized("unpack", string.unpack),
  upper = charged("upper", string.upper),
}
