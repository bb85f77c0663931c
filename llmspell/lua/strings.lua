-- The string and utf8 libraries where little has to be done; texts.lua and searching.lua do the rest.

local part = ...
local pattern, on, later = part("pattern"), part("arguments").on, part("arguments").later
local type, pcall, math_type = type, pcall, math.type
local rep, upper, lower, format = string.rep, string.upper, string.lower, string.format

local LITTLE <const> = 1000 -- bytes not worth a charge

local function spell_rep(s, n, separator)
  if separator == nil and type(s) == "string" and #s <= 100 and math_type(n) == "integer" and n <= LITTLE then
    return rep(s, n)
  end
  return on(part("texts").rep(s, n, separator))
end

local function spell_upper(s)
  if type(s) == "string" and #s <= LITTLE then
    return upper(s)
  end
  return on(part("texts").upper(s))
end

local function spell_lower(s)
  if type(s) == "string" and #s <= LITTLE then
    return lower(s)
  end
  return on(part("texts").lower(s))
end

-- By format: how many arguments have to be such that C shows them as we do. Three at most, otherwise
-- a format is not here.
local formats = {}
local shown_alike = { string = true, number = true, boolean = true, ["nil"] = true }

local function spell_format(f, ...)
  local count = formats[f]
  if count then
    local alike = true
    if count > 0 then
      local a, b, c = ...
      alike = shown_alike[type(a)]
        and (count == 1 or shown_alike[type(b)] and (count == 2 or shown_alike[type(c)]))
    end
    if alike then
      local ok, result = pcall(format, f, ...)
      if ok and #result <= LITTLE then
        return result
      end
      return on(part("texts").formatted(ok, result))
    end
  end
  return on(part("texts").format(f, ...))
end

return {
  formats = formats,
  string = {
    byte = string.byte,
    char = string.char,
    find = pattern.find,
    format = spell_format,
    gmatch = pattern.gmatch,
    gsub = pattern.gsub,
    len = string.len,
    lower = spell_lower,
    match = pattern.match,
    pack = later("texts", "pack"),
    packsize = later("texts", "packsize"),
    rep = spell_rep,
    reverse = later("texts", "reverse"),
    sub = string.sub,
    unpack = later("texts", "unpack"),
    upper = spell_upper,
  },
  utf8 = {
    char = utf8.char,
    charpattern = utf8.charpattern,
    codepoint = utf8.codepoint,
    codes = utf8.codes,
    len = later("texts", "len"),
    offset = later("texts", "offset"),
  },
}
