---@meta Hook
-- Hooks written in Lua belong to the run that registers them.

local host = ...
local perform, fail = host.perform, host.fail
local setmetatable, type = setmetatable, type

---@class Hook
local Hook = {}

local handle = { __name = "hook", __metatable = false }
handle.__index = {
  ---Stop calling the hook.
  remove = function(self)
    return perform("hook.remove", { id = self.id })
  end,
}

local function register(phase, point, fn, options)
  if type(fn) ~= "function" then
    fail("invalid_arguments", "Hook: argument 2 must be a function, not a " .. type(fn))
  end
  options = options or {}
  local id = perform("hook.register", {
    point = point,
    phase = phase,
    ["function"] = fn,
    priority = options.priority,
    name = options.name,
    timeout = options.timeout,
    required = options.required,
  })
  return setmetatable({ id = id }, handle)
end

---Call fn before an effect is done. It may return Hook.modify(args), Hook.replace(result) or
---Hook.halt(reason).
---@param point string effect or pattern: "tool.call", "agent.*"
---@param fn fun(call: {effect: string, args: table, path: string}): table?
---@param options? {priority: integer, name: string, timeout: number, required: boolean}
function Hook.before(point, fn, options)
  return register("before", point, fn, options)
end

---Call fn with the result of an effect. It may return Hook.modify(result).
---@param point string
---@param fn fun(call: {effect: string, args: table, result: any}): table?
function Hook.after(point, fn, options)
  return register("after", point, fn, options)
end

---Call fn when an effect failed. It may return Hook.replace(result).
---@param point string
---@param fn fun(call: {effect: string, args: table, error: table}): table?
function Hook.on_error(point, fn, options)
  return register("error", point, fn, options)
end

---Register by the name of a point: "pre_tool_call", "BeforeToolExecution", "after:tool.call".
function Hook.register(point, fn, priority)
  return register(nil, point, fn, { priority = priority })
end

---The hooks in the order in which they run; those of one effect if given.
---@param effect? string
function Hook.list(effect)
  return perform("hook.list", { point = effect })
end

---Go on with other arguments (before) or another result (after).
function Hook.modify(value)
  return { type = "modify", data = value }
end

---Use this result in place of the effect's, or of its error.
function Hook.replace(result)
  return { type = "replace", data = result }
end

---Make the effect fail with `hook_halted`.
---@param reason string
function Hook.halt(reason)
  return { type = "halt", reason = reason }
end

return { Hook = Hook }
