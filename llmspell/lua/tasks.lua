-- The functions of the global Task: structured concurrency within one spell. All tasks that a call starts
-- have ended when the call returns; when one fails, the others are cancelled.

local part = ...
local scheduler, children = part("scheduler"), part("children")
local current, cancel, perform = scheduler.current, scheduler.cancel, scheduler.perform
local spawn, await, join = children.spawn, children.await, children.join
local next_done, outcome = children.next_done, children.outcome
local fail = part("errors").fail
local seconds, sleep = part("task").seconds, part("task").Task.sleep
local type, setmetatable, rawlen, rawget = type, setmetatable, rawlen, rawget
local pack, next, tostring = table.pack, next, part("basics").tostring

local function expect(value, kind, position, callee)
  if type(value) ~= kind then
    fail(
      "invalid_arguments",
      callee .. ": argument " .. position .. " must be a " .. kind .. ", not a " .. type(value)
    )
  end
  return value
end

local function expect_list(value, callee)
  expect(value, "table", 1, callee)
  local key = rawlen(value) == 0 and next(value)
  if key and key ~= "n" then -- table.pack() has it
    fail("invalid_arguments", callee .. ": argument 1 must be a list: it has no item 1")
  end
end

local function new_group()
  return { owner = current(), done = {} }
end

local function cancel_all(tasks)
  for i = 1, #tasks do
    cancel(tasks[i])
  end
end

local function timeout(duration, fn)
  duration = seconds(duration, "Task.timeout")
  expect(fn, "function", 2, "Task.timeout")
  local group = new_group()
  local work = spawn(fn, pack(), group)
  local clock = spawn(sleep, pack(duration), group)
  if next_done(group) == work then
    cancel(clock)
    return outcome(work)
  end
  cancel(work)
  outcome(clock)
  fail("effect_timeout", "not done within " .. duration .. " seconds")
end

-- Returns what fn returns. Its spending on models is charged to a budget nested in the current ones.
local function budget(amounts, fn)
  expect(amounts, "table", 1, "Task.budget")
  expect(fn, "function", 2, "Task.budget")
  local work
  perform("task.budget", {
    amounts = amounts,
    run = function()
      work = spawn(fn, pack())
      join(work)
    end,
  })
  return outcome(work)
end

-- Runs fn(list[i], i) for every i, at most `limit` at once. Returns the results by index, and the errors
-- by index if they are collected.
local function each(list, fn, options)
  local limit = options.limit or rawlen(list)
  local collect = options.on_error == "collect"
  local group, tasks, results, failures = new_group(), {}, {}, {}
  local started, finished, count = 0, 0, rawlen(list)
  local positions = {}
  while finished < count do
    while started < count and started - finished < limit do
      started = started + 1
      local task = spawn(fn, pack(rawget(list, started), started), group)
      tasks[started], positions[task] = task, started
    end
    local task = next_done(group)
    finished = finished + 1
    if not task.failure then
      results[positions[task]] = task.results[1]
    elseif collect then
      failures[positions[task]] = task.failure.value
    else
      cancel_all(tasks)
      outcome(task)
    end
  end
  return results, collect and failures or nil
end

local function with_timeout(options, fn)
  if options.timeout then
    return timeout(options.timeout, fn)
  end
  return fn()
end

local function is_from_1(value)
  return type(value) == "number" and value >= 1
end

local option_names = { limit = true, on_error = true, timeout = true }

local function check_options(options, position, callee)
  options = options == nil and {} or expect(options, "table", position, callee)
  for name in next, options do
    if not option_names[name] then
      local problem = callee .. ": " .. tostring(name) .. " is not an option"
      fail("invalid_arguments", problem, "the options are limit, on_error and timeout")
    end
  end
  if options.limit ~= nil and not is_from_1(options.limit) then
    fail("invalid_arguments", callee .. ": limit must be a number from 1")
  elseif options.on_error ~= nil and options.on_error ~= "collect" and options.on_error ~= "fail" then
    fail("invalid_arguments", callee .. ': on_error must be "fail" or "collect"')
  end
  return options
end

local function map(list, fn, options)
  expect_list(list, "Task.map")
  options = check_options(options, 3, "Task.map")
  expect(fn, "function", 2, "Task.map")
  return with_timeout(options, function()
    return each(list, fn, options)
  end)
end

local function call(fn)
  return fn()
end

local function check_functions(functions, callee)
  expect_list(functions, callee)
  for i = 1, rawlen(functions) do
    expect(functions[i], "function", i, callee)
  end
end

local function all(functions, options)
  check_functions(functions, "Task.all")
  options = check_options(options, 2, "Task.all")
  return with_timeout(options, function()
    return each(functions, call, options)
  end)
end

local function race(functions)
  check_functions(functions, "Task.race")
  local group, tasks = new_group(), {}
  for i = 1, rawlen(functions) do
    tasks[i] = spawn(functions[i], pack(), group)
  end
  if #tasks == 0 then
    fail("invalid_arguments", "Task.race: the list is empty")
  end
  local first = next_done(group)
  cancel_all(tasks)
  return outcome(first)
end

local tasks_of = setmetatable({}, { __mode = "k" })
local handle = { __name = "task", __metatable = false }
handle.__index = {
  await = function(self)
    return await(tasks_of[self])
  end,
  cancel = function(self)
    cancel(tasks_of[self])
  end,
  done = function(self)
    return tasks_of[self].state == "done"
  end,
}

return {
  all = all,
  budget = budget,
  map = map,
  race = race,
  spawn = function(fn, ...)
    expect(fn, "function", 1, "Task.spawn")
    local self = setmetatable({}, handle)
    tasks_of[self] = spawn(fn, pack(...))
    return self
  end,
  timeout = timeout,
}
