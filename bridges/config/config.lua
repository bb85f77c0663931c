---@meta Config

local host = ...
local perform = host.perform
local setmetatable, error = setmetatable, error

local values

---The configuration of the run, read-only: model, limits, grants, project.
---@class Config
---@field model string the default model
---@field limits table
---@field grants table
---@field project string
local Config = setmetatable({}, {
  __index = function(_, key)
    values = values or perform("config.get", {})
    return values[key]
  end,
  __newindex = function()
    error("Config is read-only", 2)
  end,
  __metatable = false,
})

return { Config = Config }
