---@meta Tool

local host = ...
local perform, fail, define_tool = host.perform, host.fail, host.define_tool
local type = type

---@class Tool
local Tool = {}

---@class (exact) ToolDescription
---@field name string
---@field version string
---@field category string
---@field tags string[]
---@field description string
---@field touches? table<string, string[]> nil if it does not declare that
---@field schema? table nil in a list

---Call a tool by name.
---@param name string may end in "@" and a version
---@param args? table named arguments
---@return any
function Tool.call(name, args)
  return perform("tool.call", { name = name, args = args or {} })
end

Tool.execute = Tool.call

---The tools, filtered by category, tag or search text.
---@param options? {category: string, tag: string, search: string}
---@return ToolDescription[]
function Tool.list(options)
  return perform("tool.list", options or {})
end

---@param name string
---@return ToolDescription
function Tool.get(name)
  return perform("tool.get", { name = name })
end

---The JSON Schema of a tool's arguments.
---@param name string
---@return table
function Tool.schema(name)
  return Tool.get(name).schema
end

---Define a tool for agents and `Tool.call` from a Lua function.
---@param tool {name: string, description: string, tags: string[], params: table, run: fun(args: table): any}
---@return string name
function Tool.define(tool)
  if type(tool) ~= "table" or type(tool.run) ~= "function" then
    fail("invalid_arguments", "Tool.define takes {name, description, params, run = function(args) … end}")
  end
  perform("tool.define", host.with_options({}, tool, "Tool.define"))
  if host.env[tool.name] == nil then
    define_tool(tool.name)
  end
  return tool.name
end

return { Tool = Tool }
