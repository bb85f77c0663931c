-- `require`, in Lua so that a module may perform effects while it loads. The host finds the source.

local part = ...
local scheduler, errors, load_text = part("scheduler"), part("errors"), part("compiling").load_text
local children = part("children")
local perform, current, fail = scheduler.perform, scheduler.current, errors.fail
local spawn, join, outcome = children.spawn, children.join, children.outcome
local type, next, error, find, pack = type, next, error, string.find, table.pack

local loaded = {}
for _, name in next, { "coroutine", "math", "string", "table", "utf8" } do
  loaded[name] = part("library").env[name]
end
local loading = {} -- the tasks that are loading modules, by the module's name

local function load_module(name)
  local source = perform("module.load", { name = name })
  local chunk, message = load_text(source.source, "@" .. source.file)
  if not chunk then
    error(find(message, source.file, 1, true) and message or source.file .. ": " .. message, 0)
  end
  local value = chunk(name, source.file)
  loaded[name] = value == nil and true or value
end

local function runs_within(task)
  local at = current()
  while at and at ~= task do
    at = at.parent
  end
  return at == task
end

return function(name)
  if type(name) ~= "string" then
    fail("invalid_arguments", "require: the name must be a string")
  end
  while loaded[name] == nil do
    local task = loading[name]
    if not task or task.state == "done" then
      task = spawn(load_module, pack(name))
      loading[name] = task
    elseif runs_within(task) then
      fail("module_cycle", "module '" .. name .. "' requires itself")
    end
    join(task)
    if task.failure and not task.cancelled then
      outcome(task)
    end
  end
  return loaded[name]
end
