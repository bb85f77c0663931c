-- The string and utf8 libraries on the fast path; texts.lua and searching.lua handle other cases.

local part = ...
local pattern, keep_frame, later = part("pattern"), part("later").keep_frame, part("later").later
local type, pcall = type, pcall
local rep, format = string.rep, string.format

local LITTLE <const> = 1000 -- bytes not worth a charge

-- Repetition counts for a short text that are not worth a charge; filled by texts.lua.
local few = {}

local function spell_rep(s, n, separator)
  if few[n] and separator == nil and type(s) == "string" and #s <= LITTLE then
    return rep(s, n)
  end
  return keep_frame(part("texts").rep(s, n, separator))
end

-- By format: a bit for each of the first three arguments that %s formats. They must have types that C
-- formats as the kernel does. A format that uses %s for later arguments is not here.
local formats = {}
local joins = {} -- by format, see joining.lua
local shown_alike = { string = true, number = true, boolean = true, ["nil"] = true }

local function spell_format(f, ...)
  local join = joins[f]
  if join then
    local result = join(...)
    if result then
      return result
    end
  end
  local texts = formats[f]
  if texts then
    local a, b, c = ...
    if
      (texts & 1 == 0 or shown_alike[type(a)])
      and (texts & 2 == 0 or shown_alike[type(b)])
      and (texts < 4 or shown_alike[type(c)])
    then
      local ok, result = pcall(format, f, ...)
      if ok and #result <= LITTLE then
        return result
      end
      return keep_frame(part("texts").formatted(ok, result))
    end
  end
  return keep_frame(part("texts").format(f, ...))
end

return {
  few = few,
  formats = formats,
  joins = joins,
  string = {
    byte = string.byte,
    char = string.char,
    find = pattern.find,
    format = spell_format,
    gmatch = pattern.gmatch,
    gsub = pattern.gsub,
    len = string.len,
    lower = string.lower,
    match = pattern.match,
    pack = later("texts", "pack"),
    packsize = later("texts", "packsize"),
    rep = spell_rep,
    reverse = later("texts", "reverse"),
    sub = string.sub,
    unpack = later("texts", "unpack"),
    upper = string.upper,
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
