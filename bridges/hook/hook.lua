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
    ["function"] = host.hook(fn),
    priority = options.priority,
    name = options.name,
    timeout = options.timeout,
    required = options.required,
    max_failures = options.max_failures,
    cool_down = options.cool_down,
  })
  return setmetatable({ id = id }, handle)
end

---@class HookOptions
---@field priority? integer higher runs first
---@field name? string
---@field timeout? number seconds it may take
---@field required? boolean when the hook fails, the effect does
---@field max_failures? integer after so many in a row it is left out …
---@field cool_down? number … for so many seconds

---Call fn before an effect is done. What it returns decides, see Hook.modify and those below it.
---@param point string effect or pattern: "tool.call", "agent.*"
---@param fn fun(call: {effect: string, args: table, path: string}): table?
---@param options? HookOptions
function Hook.before(point, fn, options)
  return register("before", point, fn, options)
end

---Call fn with the result of an effect.
---@param point string
---@param fn fun(call: {effect: string, args: table, result: any}): table?
---@param options? HookOptions
function Hook.after(point, fn, options)
  return register("after", point, fn, options)
end

---Call fn when an effect failed.
---@param point string
---@param fn fun(call: {effect: string, args: table, error: table}): table?
---@param options? HookOptions
function Hook.on_error(point, fn, options)
  return register("error", point, fn, options)
end

---Call fn at a point of the life cycle: "run.start", "run.end", "limit.exceeded",
---"permission.denied".
---@param point string
---@param fn fun(call: {effect: string, args: table}): table?
---@param options? HookOptions
function Hook.at(point, fn, options)
  return register("at", point, fn, options)
end

---Register by the name of a point: "pre_tool_call", "BeforeToolExecution", "after:tool.call".
---@param point string
---@param fn fun(call: table): table|string|nil
---@param priority? integer
function Hook.register(point, fn, priority)
  return register(nil, point, fn, { priority = priority })
end

---The hooks in the order in which they run; those of one effect or point if given.
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

---Do it again: before, whenever it fails; after and on error, now.
---@param delay? number seconds to wait before each attempt
---@param attempts? integer how often at most; 1
function Hook.retry(delay, attempts)
  return { type = "retry", delay = delay, attempts = attempts }
end

---Perform another effect in its place.
---@param target {effect: string?, tool: string?, model: string?, args: table?}
function Hook.redirect(target)
  return {
    type = "redirect",
    effect = target.effect,
    tool = target.tool,
    model = target.model,
    args = target.args,
  }
end

---Answer nil; no other hook runs.
function Hook.skip()
  return { type = "skip" }
end

---Answer with what is kept under the key, or else keep what comes of the effect.
---@param key? string by default made of the arguments
---@param ttl? number seconds it is kept
function Hook.cache(key, ttl)
  return { type = "cache", key = key, ttl = ttl }
end

---Perform more effects at the same time, and wait for them.
---@param effects [string, table][] the name and the arguments of each
function Hook.fork(effects)
  return { type = "fork", effects = effects }
end

return { Hook = Hook }
