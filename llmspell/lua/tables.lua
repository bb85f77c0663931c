-- The table library on the fast path, for small plain tables. spans.lua and sorting.lua handle other
-- cases.

local part = ...
local keep_frame, later = part("later").keep_frame, part("later").later
local type, select, pcall, raw_metatable = type, select, pcall, debug.getmetatable
local concat, unpack = table.concat, table.unpack

local LITTLE <const> = 100 -- values not worth a charge

local function spell_concat(t, separator, i, j)
  if i == nil and j == nil and type(t) == "table" and not raw_metatable(t) and #t <= LITTLE then
    if separator == nil or type(separator) == "string" then
      local ok, result = pcall(concat, t, separator)
      if ok and #result <= 1000 then
        return result
      end
      return keep_frame(part("spans").concatenated(ok, result))
    end
  end
  return keep_frame(part("spans").concat(t, separator, i, j))
end

local function spell_insert(t, ...)
  if select("#", ...) == 1 and type(t) == "table" and not raw_metatable(t) then
    t[#t + 1] = ...
    return
  end
  return keep_frame(part("spans").insert(t, ...))
end

local function spell_remove(t, position)
  if position == nil and type(t) == "table" and not raw_metatable(t) then
    local n = #t
    local value = t[n]
    t[n] = nil
    return value
  end
  return keep_frame(part("spans").remove(t, position))
end

local function spell_unpack(t, i, j)
  if i == nil and j == nil and type(t) == "table" and not raw_metatable(t) and #t <= LITTLE then
    return unpack(t)
  end
  return keep_frame(part("spans").unpack(t, i, j))
end

return {
  concat = spell_concat,
  insert = spell_insert,
  move = later("spans", "move"),
  pack = table.pack,
  remove = spell_remove,
  sort = function(t, before)
    return keep_frame(part("sorting")(t, before))
  end,
  unpack = spell_unpack,
}
