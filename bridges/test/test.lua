---@meta Test
-- Tests of spells, loaded only by `llmspell test`.

local host = ...
local perform, fail, tostring, inspect, Task =
  host.perform, host.fail, host.tostring, host.env.inspect, host.env.Task
local type, ipairs, pcall, error = type, ipairs, pcall, error
local setmetatable, rawlen, pack = setmetatable, rawlen, table.pack
local find, gsub = string.find, string.gsub

local function on_one_line(value)
  return (gsub(inspect(value), "%s*\n%s*", " "))
end

-- describe and it

local function new_group(name, parent)
  return {
    name = name,
    parent = parent,
    children = {},
    before = {},
    after = {},
    before_all = {},
    after_all = {},
  }
end

local root = new_group()
local group = root
local focused = false
local running = false

local function check(callee, name, fn)
  if running then
    fail("invalid_arguments", callee .. " within a test")
  elseif type(name) ~= "string" then
    fail("invalid_arguments", callee .. ": argument 1 must be a string, not a " .. type(name))
  elseif fn ~= nil and type(fn) ~= "function" then
    fail("invalid_arguments", callee .. ": argument 2 must be a function, not a " .. type(fn))
  end
end

local function add_group(mode, name, fn)
  check("describe", name, fn)
  if fn == nil then
    fail("invalid_arguments", "describe: argument 2 must be a function, not nil")
  end
  local own = new_group(name, group)
  own.mode = mode
  focused = focused or mode == "only"
  group.children[#group.children + 1] = own
  local outer = group
  group = own
  local ok, err = pcall(fn)
  group = outer
  if not ok then
    error(err, 0)
  end
end

local function add_test(mode, name, fn)
  check("it", name, fn)
  focused = focused or mode == "only"
  group.children[#group.children + 1] = { name = name, fn = fn, mode = not fn and "skip" or mode }
end

-- `it(…)`, `it.only(…)`, `it.skip(…)`, and `it.each(list, "name with %s", fn)`.
local function adder(add)
  local adders = {}
  for _, mode in ipairs({ "only", "skip" }) do
    adders[mode] = function(name, fn)
      add(mode, name, fn)
    end
  end
  function adders.each(list, name, fn)
    for i = 1, rawlen(list) do
      local case = list[i]
      local shown = type(case) == "string" and case or on_one_line(case)
      local full = name .. " " .. i
      if find(name, "%s", 1, true) then
        full = gsub(name, "%%s", (gsub(shown, "%%", "%%%%")))
      end
      add(nil, full, function()
        return fn(case, i)
      end)
    end
  end
  return setmetatable(adders, {
    __call = function(_, name, fn)
      add(nil, name, fn)
    end,
    __metatable = false,
  })
end

local function keeper(list)
  return function(fn)
    if type(fn) ~= "function" then
      fail("invalid_arguments", list .. " takes a function, not a " .. type(fn))
    end
    local own = group[list]
    own[#own + 1] = fn
  end
end

-- Running

local function call_all(functions)
  for _, fn in ipairs(functions) do
    fn()
  end
end

local function around(own, list, outermost_first)
  local groups = {}
  while own do
    groups[#groups + 1] = own
    own = own.parent
  end
  for i = outermost_first and #groups or 1, outermost_first and 1 or #groups, outermost_first and -1 or 1 do
    call_all(groups[i][list])
  end
end

local function text(value)
  return type(value) == "string" and value or nil
end

-- Describes an error. A table without a message is shown in full, unless it converts to text.
local function error_report(err)
  if type(err) ~= "table" then
    return { message = tostring(err) }
  elseif text(err.message) then
    return { message = err.message, where = text(err.where), hint = text(err.hint) }
  end
  local shown = tostring(err)
  return { message = find(shown, "^table: ") and on_one_line(err) or shown }
end

local function finish(name, ok, err)
  perform("test.finish", { name = name, error = not ok and error_report(err) or nil })
end

-- Timeouts of tests are measured in real time, whatever virtual time the test sees.
local function in_time(fn)
  Task.race({
    fn,
    function()
      local seconds = perform("test.deadline", {})
      fail("effect_timeout", "not done within " .. seconds .. " seconds")
    end,
  })
end

local function run_test(test, own, path)
  local skip = test.mode == "skip" or focused and not test.focused
  if not perform("test.begin", { name = path, skip = skip }) then
    return
  end
  local ok, err = pcall(in_time, function()
    around(own, "before", true)
    test.fn()
  end)
  local cleaned, problem = pcall(around, own, "after", false)
  finish(path, ok and cleaned, ok and problem or err)
end

local function focus(own, inherited, skipped)
  for _, child in ipairs(own.children) do
    local only = inherited or child.mode == "only"
    if skipped then
      child.mode = "skip"
    end
    child.focused = only
    if child.children then
      focus(child, only, skipped or child.mode == "skip")
    end
  end
end

local function has_work(own, path)
  for _, child in ipairs(own.children) do
    local name = path .. child.name
    if child.children then
      if has_work(child, name .. " > ") then
        return true
      end
    elseif
      child.mode ~= "skip"
      and (child.focused or not focused)
      and perform("test.wanted", { name = name })
    then
      return true
    end
  end
  return false
end

local function run_group(own, path)
  local work = has_work(own, path)
  if work then
    local ok, err = pcall(call_all, own.before_all)
    if not ok then
      perform("test.begin", { name = path .. "before_all" })
      return finish(path .. "before_all", false, err)
    end
  end
  for _, child in ipairs(own.children) do
    if child.children then
      run_group(child, path .. child.name .. " > ")
    else
      run_test(child, own, path .. child.name)
    end
  end
  if work then
    local ok, err = pcall(call_all, own.after_all)
    if not ok then
      perform("test.begin", { name = path .. "after_all" })
      finish(path .. "after_all", false, err)
    end
  end
end

-- Runs a test file; `llmspell test` wraps the file in this.
local function run_tests(file, ...)
  file(...)
  focus(root, false, false)
  running = true
  run_group(root, "")
end

-- Test

---@class Test
local Test = {}

---Run a spell on a scripted model. Raises the error that ends it, unless `catch` is set.
---@param spell string a file beside this one, a name, or the text of a spell
---@param options? table
---@return table run {result, error, printed, output, requests, calls, effects, asked, state, scopes}
function Test.run(spell, options)
  local run = perform("test.run", host.with_options({ spell = spell }, options, "Test.run"))
  run.calls_of = function(tool)
    local calls = {}
    for _, call in ipairs(run.calls) do
      if call.name == tool then
        calls[#calls + 1] = call
      end
    end
    return calls
  end
  return run
end

---A reply in which the model calls a tool.
---@param name string
---@param args? table
---@return table
function Test.call(name, args)
  return { tool_calls = { { name = name, arguments = args or {} } } }
end

---A reply in which the model calls several tools at once: `Test.calls({"a", {…}}, {"b"})`.
---@param ... table
---@return table
function Test.calls(...)
  local calls = {}
  for i, call in ipairs(pack(...)) do
    calls[i] = { name = call[1], arguments = call[2] or {} }
  end
  return { tool_calls = calls }
end

---A folder with these files, which exists during this test file; spells may be granted access to it.
---@param files? table<string, string>
---@return string path
function Test.folder(files)
  return perform("test.folder", { files = files or {} })
end

return {
  Test = Test,
  after = keeper("after"),
  after_all = keeper("after_all"),
  before = keeper("before"),
  before_all = keeper("before_all"),
  describe = adder(add_group),
  it = adder(add_test),
  run_tests = run_tests,
}
