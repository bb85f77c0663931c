-- Compiles the text of spells, passed to the compiler piece by piece. Some chunks take it time quadratic in
-- their size; the kill switch can act between two pieces.

local part = ...
local guard, env = part("guard"), part("library").env
local load, pcall, sub = load, pcall, string.sub
local charge, check = guard.charge, guard.check

local PIECE <const> = 1024
local PRICE <const> = 8 -- instructions per byte

-- With a variable to be closed in scope, `return f()` is not a tail call, so errors keep their line.
local KEEPS_LINES <const> = "local _keeps_lines_of_llmspell <close> = nil; "

local function pieces(source)
  local at = 1
  return function()
    local piece = sub(source, at, at + PIECE - 1)
    at = at + PIECE
    charge(PRICE * #piece)
    return piece
  end
end

-- Returns a chunk's function, or nil and the error.
local function compile(source, name, environment)
  -- The pcall keeps the compiler's "C stack overflow" from the message handlers of calls that go on.
  local ok, f, problem = pcall(load, pieces(source), name, "t", environment)
  if ok and f then
    return f
  end
  return nil, check(problem or f)
end

-- The same for a whole file.
local function load_text(source, name)
  local f = compile(KEEPS_LINES .. source, name, env)
  if f then
    return f
  end
  return compile(source, name, env) -- for the error, or if it needs every local variable allowed
end

return { compile = compile, load_text = load_text }
