-- `load`: text only, passed to the compiler piece by piece. Some chunks take it time quadratic in their
-- size; the kill switch can act between two pieces.

local part = ...
local guard, arguments = part("guard"), part("arguments")
local load, type, select = load, type, select
local byte, sub, find, concat = string.byte, string.sub, string.find, table.concat
local charge, check, protected = guard.charge, guard.check, guard.pcall
local text, env = arguments.text, part("library").env

local PIECE <const> = 1024
local PRICE <const> = 8 -- instructions per byte
local ESCAPE <const> = 27 -- the first byte of bytecode

local function pieces(source)
  local at = 1
  return function()
    local piece = sub(source, at, at + PIECE - 1)
    at = at + PIECE
    charge(PRICE * #piece)
    return piece
  end
end

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

return function(chunk, name, mode, ...)
  local source, env_given = chunk, select("#", ...) > 0
  if type(chunk) == "function" then
    local ok, result = protected(read_all, chunk)
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
  -- Else the task's message handler would receive the compiler's "C stack overflow".
  local _, f, problem = protected(load, pieces(source), name, "t", environment)
  if not f then
    return nil, check(problem)
  end
  return f
end
