---@meta State

local host = ...
local perform, fail, with_options = host.perform, host.fail, host.with_options
local setmetatable, type = setmetatable, type

local methods = {}
local handle = { __name = "watch", __metatable = false, __index = methods }

---End the watch: later changes are not reported.
---@return boolean watched whether it was active
function methods:stop()
  return perform("state.unwatch", { id = self.id })
end

handle.__close = methods.stop

local function check_function(fn, callee)
  if type(fn) ~= "function" then
    fail("invalid_arguments", callee .. ": argument 2 must be a function, not a " .. type(fn))
  end
end

---Values that outlive the run, stored in the project's `.llmspell/`.
---@class State
local State = {}

local function in_scope(scope)
  local self = {}

  ---The value of a key, or the default.
  ---@param key string
  ---@param default? any
  ---@return any
  function self.get(key, default)
    local value = perform("state.get", { key = key, scope = scope })
    if value == nil then
      return default
    end
    return value
  end

  ---Store a value; nil deletes the key.
  ---@param key string
  ---@param value any
  ---@param options? {ttl: number|string} seconds to keep it
  function self.set(key, value, options)
    perform("state.set", with_options({ key = key, value = value, scope = scope }, options, "State.set"))
  end

  ---Replace a value atomically by the result of fn.
  ---@param key string
  ---@param fn fun(old: any): any
  ---@return any new
  function self.update(key, fn)
    check_function(fn, "State.update")
    return perform("state.update", { key = key, ["function"] = fn, scope = scope })
  end

  ---Add to a number atomically. A missing key counts as 0.
  ---@param key string
  ---@param by? number
  ---@return number sum
  function self.increment(key, by)
    return perform("state.increment", { key = key, by = by, scope = scope })
  end

  ---Store a value atomically if the key has the expected one; nil means that there is no key.
  ---@param key string
  ---@param expected any
  ---@param value any
  ---@return boolean stored
  function self.compare_and_set(key, expected, value)
    return perform("state.compare_and_set", { key = key, expected = expected, value = value, scope = scope })
  end

  ---Delete a key.
  ---@param key string
  ---@return boolean existed
  function self.delete(key)
    return perform("state.delete", { key = key, scope = scope })
  end

  ---The keys that match a pattern with `*` and `?`, sorted.
  ---@param pattern? string
  ---@return string[]
  function self.keys(pattern)
    return perform("state.keys", { pattern = pattern, scope = scope })
  end

  local function watch(pattern, fn, options)
    local args = { pattern = pattern, ["function"] = fn, scope = scope }
    local id = perform("state.watch", with_options(args, options, "State.watch"))
    return setmetatable({ id = id }, handle)
  end

  ---Call fn with each change of the keys that match a pattern, until the spell ends.
  ---@param pattern string
  ---@param fn fun(key: string, new: any, old: any)
  ---@param options? {timeout: number|string} seconds fn may take
  function self.watch(pattern, fn, options)
    check_function(fn, "State.watch")
    return watch(pattern, function(change)
      fn(change.key, change.new, change.old)
    end, options)
  end

  ---Iterate over the changes of the keys that match a pattern, from now on: key, new, old.
  ---Changes that were not received when the process ended are lost to a resumed run.
  ---@param pattern? string
  function self.changes(pattern)
    local watching = watch(pattern)
    local request = { id = watching.id }
    local changes, at = {}, 0
    local function next_change()
      if at == #changes then
        changes, at = perform("state.changes", request), 0
      end
      at = at + 1
      local change = changes[at]
      if change then
        return change.key, change.new, change.old
      end
    end
    return next_change, nil, nil, watching
  end

  return self
end

for name, fn in pairs(in_scope(nil)) do
  State[name] = fn
end

---The same functions for keys in a separate scope.
---@param name string
function State.scope(name)
  if type(name) ~= "string" or name == "" then
    fail("invalid_arguments", "State.scope: the name must be a string that is not empty")
  end
  return in_scope(name)
end

function State.save(scope, key, value)
  return in_scope(scope).set(key, value)
end

function State.load(scope, key)
  return in_scope(scope).get(key)
end

function State.list_keys(scope)
  return in_scope(scope).keys()
end

return { State = State }
