-- The string and utf8 libraries. What costs C time in proportion to a string's size is charged.

local guard, arguments, pattern, tostring, config = ...
local type, pcall, math_type = type, pcall, math.type
local rep, upper, lower, reverse, format =
  string.rep, string.upper, string.lower, string.reverse, string.format
local pack, unpack, packsize, gmatch = string.pack, string.unpack, string.packsize, string.gmatch
local pack_values, unpack_values = table.pack, table.unpack
local charge, fail = guard.charge, guard.fail
local text, integer, settled = arguments.text, arguments.integer, arguments.settled

local MAX_STRING <const> = config.memory or math.maxinteger // 2
local LITTLE <const> = 100 -- not worth a charge
local CACHE_SIZE <const>, CACHED_LENGTH <const> = 200, 200

local function spell_rep(s, n, separator)
  if
    separator == nil
    and type(s) == "string"
    and #s <= LITTLE
    and math_type(n) == "integer"
    and n <= LITTLE
  then
    return rep(s, n)
  end
  s, n = text(s, 1, "rep"), integer(n, nil, 2, "rep")
  separator = separator == nil and "" or text(separator, 3, "rep")
  local size = #s + #separator
  if n <= 0 or size == 0 then
    return ""
  elseif n > MAX_STRING // size then
    fail("resulting string too large")
  end
  charge(n * size // 16)
  return rep(s, n, separator)
end

-- Of a function of one string.
local function charged(callee, f)
  return function(s)
    if type(s) ~= "string" then
      s = text(s, 1, callee)
    end
    if #s > LITTLE then
      charge(#s // 4)
    end
    return f(s)
  end
end

-- Of a function that reads its first argument, a string, and fails in its own words.
local function sized(callee, f)
  return function(s, ...)
    if type(s) == "string" and #s > LITTLE then
      charge(#s // 2)
    end
    return settled(callee, pcall(f, s, ...))
  end
end

local function spell_pack(...)
  local result = settled("pack", pcall(pack, ...))
  charge(#result // 16)
  return result
end

-- The conversions of a format: letters in order, and whether there is a %s among them.
local formats, cached = {}, 0

local function parse(f)
  charge(#f)
  local letters = {}
  for options, letter in gmatch(f, "%%([-+ #%d.]*)(.?)") do
    if letter == "p" then
      fail("invalid conversion '%p' to 'format': addresses are not for spells")
    elseif letter ~= "%" or options ~= "" then
      letters[#letters + 1] = letter
      letters.has_text = letters.has_text or letter == "s"
    end
  end
  return letters
end

local function conversions(f)
  local letters = formats[f]
  if not letters then
    letters = parse(f)
    if #f <= CACHED_LENGTH then
      if cached == CACHE_SIZE then
        formats, cached = {}, 0
      end
      formats[f], cached = letters, cached + 1
    end
  end
  return letters
end

local function formatted(ok, result)
  if not ok then
    return settled("format", ok, result)
  elseif #result > 1000 then
    charge(#result // 16)
  end
  return result
end

local function spell_format(f, ...)
  local letters = formats[f]
  if not letters then
    f = text(f, 1, "format")
    letters = conversions(f)
  end
  if not letters.has_text then
    return (formatted(pcall(format, f, ...))) -- no tail call: errors look at this frame
  end
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
  string = {
    byte = string.byte,
    char = string.char,
    find = pattern.find,
    format = spell_format,
    gmatch = pattern.gmatch,
    gsub = pattern.gsub,
    len = string.len,
    lower = charged("lower", lower),
    match = pattern.match,
    pack = spell_pack,
    packsize = sized("packsize", packsize),
    rep = spell_rep,
    reverse = charged("reverse", reverse),
    sub = string.sub,
    unpack = sized("unpack", unpack),
    upper = charged("upper", upper),
  },
  utf8 = {
    char = utf8.char,
    charpattern = utf8.charpattern,
    codepoint = utf8.codepoint,
    codes = utf8.codes,
    len = sized("len", utf8.len),
    offset = sized("offset", utf8.offset),
  },
}
