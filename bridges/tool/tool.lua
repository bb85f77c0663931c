---@meta Tool

local host = ...
local perform, fail, define_tool = host.perform, host.fail, host.define_tool
local type = type

---@class Tool
local Tool = {}

---Call a tool by its name.
---@param name string
---@param args? table named arguments
---@return any
function Tool.call(name, args)
  return perform("tool.call", { name = name, args = args or {} })
end

Tool.execute = Tool.call

---Every tool, or those of a category.
---@param options? {category: string}
---@return {name: string, description: string, category: string}[]
function Tool.list(options)
  return perform("tool.list", { category = options and options.category })
end

---@param name string
---@return {name: string, description: string, category: string, schema: table}
function Tool.get(name)
  return perform("tool.get", { name = name })
end

---The JSON Schema of a tool's arguments.
---@param name string
---@return table
function Tool.schema(name)
  return Tool.get(name).schema
end

---Make a Lua function a tool that agents and `Tool.call` can use.
---@param tool {name: string, description: string, params: table, run: fun(args: table): any}
---@return string name
function Tool.define(tool)
  if type(tool) ~= "table" or type(tool.run) ~= "function" then
    fail("invalid_arguments", "Tool.define takes {name, description, params, run = function(args) … end}")
  end
  perform("tool.define", {
    name = tool.name,
    description = tool.description,
    params = tool.params,
    run = tool.run,
    timeout = tool.timeout,
  })
  if host.env[tool.name] == nil then
    define_tool(tool.name)
  end
  return tool.name
end

return { Tool = Tool }
