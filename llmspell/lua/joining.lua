-- Formats that only insert strings and integers, with a plain %s or %d: `..` is faster for them than
-- string.format.

local part = ...
local charge, noticed = part("guard").charge, part("guard").noticed
local type, math_type = type, math.type
local gmatch, sub = string.gmatch, string.sub

local LITTLE <const> = 1000 -- bytes not worth a charge
local MAX_ARGUMENTS <const> = 3 -- arguments

local text, integer = { string = true, number = true }, { integer = true }
local takes = { s = text, d = integer, i = integer }
local kind_of = { [text] = type, [integer] = math_type }

local function large(result)
  charge(#result // 16)
  return noticed(result)
end

-- The functions that join, by number of arguments. They return nothing when an argument has another
-- type.
local joins = {}

joins[1] = function(pieces, kinds)
  local first, last = pieces[1], pieces[2]
  local a_kinds, a_kind = kinds[1], kind_of[kinds[1]]
  return function(a)
    if a_kinds[a_kind(a)] then
      local result = first .. a .. last
      return #result <= LITTLE and result or large(result)
    end
  end
end

joins[2] = function(pieces, kinds)
  local first, second, last = pieces[1], pieces[2], pieces[3]
  local a_kinds, a_kind, b_kinds, b_kind = kinds[1], kind_of[kinds[1]], kinds[2], kind_of[kinds[2]]
  return function(a, b)
    if a_kinds[a_kind(a)] and b_kinds[b_kind(b)] then
      local result = first .. a .. second .. b .. last
      return #result <= LITTLE and result or large(result)
    end
  end
end

joins[3] = function(pieces, kinds)
  local first, second, third, last = pieces[1], pieces[2], pieces[3], pieces[4]
  local a_kinds, a_kind, b_kinds, b_kind = kinds[1], kind_of[kinds[1]], kinds[2], kind_of[kinds[2]]
  local c_kinds, c_kind = kinds[3], kind_of[kinds[3]]
  return function(a, b, c)
    if a_kinds[a_kind(a)] and b_kinds[b_kind(b)] and c_kinds[c_kind(c)] then
      local result = first .. a .. second .. b .. third .. c .. last
      return #result <= LITTLE and result or large(result)
    end
  end
end

-- Returns a function that formats by joining, or nil if the format is not that simple.
return function(f)
  local pieces, kinds, n, at = { "" }, {}, 0, 1
  for plain, options, letter, stop in gmatch(f, "([^%%]*)%%([-+ #%d.]*)(.?)()") do
    pieces[n + 1] = pieces[n + 1] .. plain
    if options ~= "" then
      return nil
    elseif letter == "%" then
      pieces[n + 1] = pieces[n + 1] .. "%"
    elseif takes[letter] and n < MAX_ARGUMENTS then
      n = n + 1
      kinds[n], pieces[n + 1] = takes[letter], ""
    else
      return nil
    end
    at = stop
  end
  pieces[n + 1] = pieces[n + 1] .. sub(f, at)
  return n > 0 and joins[n](pieces, kinds) or nil
end
