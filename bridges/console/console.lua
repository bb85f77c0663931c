---@meta Console

local host = ...
local perform = host.perform

---@class Console
local Console = {}

---The next line of standard input, or nil after the last.
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

return { Console = Console }
