---@meta environment

local host = ...
local perform = host.perform

local environment = {}

---The value of an environment variable, or nil when it is not set.
---@param name string
---@return string?
function environment.getenv(name)
  return perform("environment.get", { name = name })
end

return { ["os.getenv"] = environment.getenv }
