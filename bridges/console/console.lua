---@meta Console

local host = ...
local perform, fail, write = host.perform, host.fail, host.write
local concat, pack, type = table.concat, table.pack, type

---@class Console
local Console = {}

---Read the next line of standard input; nil at the end.
---@param prompt? string shown on a terminal
---@return string?
function Console.read_line(prompt)
  return perform("console.read_line", { prompt = prompt })
end

---`for line in Console.lines("> ") do … end`
---@param prompt? string
---@return fun(): string?
function Console.lines(prompt)
  return function()
    return Console.read_line(prompt)
  end
end

---Write to standard output as `print` does, but with nothing between or after the arguments.
---@param ... string|number
function Console.write(...)
  local texts = pack(...)
  for i = 1, texts.n do
    local kind = type(texts[i])
    if kind ~= "string" and kind ~= "number" then
      fail(
        "invalid_arguments",
        "Console.write: argument " .. i .. " must be a string or a number, not a " .. kind
      )
    end
  end
  write(concat(texts, "", 1, texts.n))
end

return { Console = Console }
