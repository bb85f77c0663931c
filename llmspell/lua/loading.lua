-- The spell's `load`: for text only.

local part = ...
local pcall, text = part("protection").pcall, part("arguments").text
local compile, env = part("compiling").compile, part("library").env
local type, select, byte, find, concat = type, select, string.byte, string.find, table.concat

local ESCAPE <const> = 27 -- the first byte of bytecode

local function read_all(reader)
  local all = {}
  while true do
    local piece = reader()
    if piece == nil or piece == "" then
      return concat(all)
    elseif type(piece) ~= "string" and type(piece) ~= "number" then
      return nil
    end
    all[#all + 1] = piece
  end
end

local function spell_load(chunk, name, mode, ...)
  local source, env_given = chunk, select("#", ...) > 0
  if type(chunk) == "function" then
    local ok, result = pcall(read_all, chunk)
    if not ok or not result then
      return nil, result or "reader function must return a string"
    end
    source = result
  end
  source = text(source, 1, "load")
  name = name == nil and (type(chunk) == "function" and "=(load)" or source) or text(name, 2, "load")
  mode = mode == nil and "bt" or text(mode, 3, "load")
  if byte(source, 1) == ESCAPE then
    return nil, "attempt to load a binary chunk (mode is 't')"
  elseif not find(mode, "t", 1, true) then
    return nil, "attempt to load a text chunk (mode is '" .. mode .. "')"
  end
  local environment = env
  if env_given then
    environment = ...
  end
  return compile(source, name, environment)
end

return { load = spell_load }
