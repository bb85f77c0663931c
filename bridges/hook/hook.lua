---@meta Hook
-- Hooks written in Lua belong to the run that registers them.

local host = ...
local perform, fail = host.perform, host.fail
local setmetatable, type, next = setmetatable, type, next

---@class Hook
local Hook = {}

local handle = { __name = "hook", __metatable = false }
handle.__index = {
  ---Remove the hook.
  remove = function(self)
    return perform("hook.remove", { id = self.id })
  end,
}

local function must_be(kind, value, what)
  if type(value) ~= kind then
    fail("invalid_arguments", what .. " must be a " .. kind .. ", not a " .. type(value))
  end
end

local function register(phase, point, fn, options)
  must_be("function", fn, "Hook: argument 2")
  local args = { point = point, phase = phase, ["function"] = host.hook(fn) }
  local id = perform("hook.register", host.with_options(args, options, "Hook"))
  return setmetatable({ id = id }, handle)
end

---@class HookOptions
---@field priority? integer higher runs first
---@field name? string
---@field timeout? number|string seconds it may take
---@field required? boolean whether its failure fails the effect
---@field max_failures? integer consecutive failures after which its circuit breaker opens …
---@field cool_down? number|string … for this many seconds

---Call fn before an effect. Its return value decides how to proceed, see Hook.modify and those below.
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

---Call fn when an effect has failed.
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

---Register a hook by the name of a point: "pre_tool_call", "BeforeToolExecution", "after:tool.call".
---@param point string
---@param fn fun(call: table): table|string|nil
---@param priority? integer
function Hook.register(point, fn, priority)
  return register(nil, point, fn, { priority = priority })
end

---Add a shipped hook: "retry", "cache", "redaction", "guard", "logging", "debugging" or "costs".
---@param name string
---@param options? table its settings; and `priority`, `required`, `name`
function Hook.use(name, options)
  options = options or {}
  must_be("table", options, "Hook.use: the options")
  local settings, args = {}, { hook = name, settings = nil }
  for key, value in next, options do
    if key == "priority" or key == "required" or key == "name" then
      args[key] = value
    else
      settings[key] = value
    end
  end
  args.settings = settings
  return setmetatable({ id = perform("hook.use", args) }, handle)
end

-- Returns a hook's decision, or nil for "continue".
local function decision_of(fn, call)
  local decision = fn(call)
  local kind = decision
  if type(decision) == "table" then
    kind = decision.type
  end
  return kind ~= "continue" and decision or nil
end

local function functions(hooks, callee)
  for i = 1, #hooks do
    must_be("function", hooks[i], callee .. ": argument " .. i)
  end
  return hooks
end

-- Calls all hooks concurrently; returns their decisions in order, false for "continue".
local function ask_all(hooks, call)
  local tasks, answers = {}, {}
  for i = 1, #hooks do
    tasks[i] = host.attend(decision_of, hooks[i], call)
  end
  for i = 1, #hooks do
    answers[i] = host.await(tasks[i]) or false
  end
  return answers
end

local function halts(decision)
  local kind = type(decision) == "table" and decision.type or decision
  return kind == "halt" or kind == "cancel"
end

---Combine functions into one that calls them in order, until one decides not to continue.
---@param ... fun(call: table): table|string|nil
function Hook.sequential(...)
  local hooks = functions({ ... }, "Hook.sequential")
  return function(call)
    for i = 1, #hooks do
      local decision = decision_of(hooks[i], call)
      if decision then
        return decision
      end
    end
  end
end

---Combine functions into one that calls them concurrently. The first to halt decides, or else the first
---that decides not to continue.
---@param ... fun(call: table): table|string|nil
function Hook.parallel(...)
  local hooks = functions({ ... }, "Hook.parallel")
  return function(call)
    local first = nil
    local answers = ask_all(hooks, call)
    for i = 1, #answers do
      if halts(answers[i]) then
        return answers[i]
      end
      first = first or answers[i] or nil
    end
    return first
  end
end

local function alike(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return a == b
  end
  for key, value in next, a do
    if not alike(value, b[key]) then
      return false
    end
  end
  for key in next, b do
    if a[key] == nil then
      return false
    end
  end
  return true
end

local function reasons_of(answers)
  local reasons, count, seen = {}, 0, {}
  for i = 1, #answers do
    if halts(answers[i]) then
      count = count + 1
      local reason = type(answers[i]) == "table" and answers[i].reason or "no reason given"
      if not seen[reason] then
        seen[reason], reasons[#reasons + 1] = true, reason
      end
    end
  end
  return count, table.concat(reasons, "; ")
end

---Combine functions into one that calls them concurrently and follows a decision with enough votes.
---@param hooks function[]
---@param needed? integer votes; by default more than half
function Hook.voting(hooks, needed)
  must_be("table", hooks, "Hook.voting: argument 1")
  functions(hooks, "Hook.voting")
  local enough = needed or #hooks // 2 + 1
  if type(enough) ~= "number" or enough < 1 or enough > #hooks then
    fail("invalid_arguments", "Hook.voting: the votes needed must be between 1 and " .. #hooks)
  end
  return function(call)
    local answers = ask_all(hooks, call)
    local count, reasons = reasons_of(answers)
    if count >= enough then
      return Hook.halt(reasons)
    end
    for i = 1, #answers do
      local votes = 0
      for j = 1, #answers do
        votes = votes + (answers[i] and alike(answers[i], answers[j]) and 1 or 0)
      end
      if votes >= enough then
        return answers[i]
      end
    end
  end
end

---The hooks in execution order; only those of an effect or point if it is given.
---@param effect? string
function Hook.list(effect)
  return perform("hook.list", { point = effect })
end

---Continue with other arguments (before) or another result (after).
function Hook.modify(value)
  return { type = "modify", data = value }
end

---Use this result instead of the effect's, or instead of its error.
function Hook.replace(result)
  return { type = "replace", data = result }
end

---Make the effect fail with `hook_halted`.
---@param reason string
function Hook.halt(reason)
  return { type = "halt", reason = reason }
end

---Repeat the effect: before, whenever it fails; after and on error, now.
---@param delay? number|string seconds to wait before each attempt
---@param attempts? integer maximum number of repetitions; 1
function Hook.retry(delay, attempts)
  return { type = "retry", delay = delay, attempts = attempts }
end

---Perform another effect instead.
---@param target {effect: string?, tool: string?, model: string?, args: table?}
function Hook.redirect(target)
  must_be("table", target, "Hook.redirect: the target")
  return {
    type = "redirect",
    effect = target.effect,
    tool = target.tool,
    model = target.model,
    args = target.args,
  }
end

---Return nil as the result; no other hook runs.
function Hook.skip()
  return { type = "skip" }
end

---Return the cached result for the key, or else cache the result of the effect.
---@param key? string by default derived from the arguments
---@param ttl? number|string seconds until the entry expires
function Hook.cache(key, ttl)
  return { type = "cache", key = key, ttl = ttl }
end

---Perform more effects concurrently, and wait for them.
---@param effects [string, table][] the name and the arguments of each
function Hook.fork(effects)
  return { type = "fork", effects = effects }
end

return { Hook = Hook }
