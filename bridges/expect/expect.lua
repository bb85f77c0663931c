---@meta Expect
-- Assertions of tests, loaded only by `llmspell test`.

local host = ...
local perform, fail, tostring, null, inspect =
  host.perform, host.fail, host.tostring, host.null, host.env.inspect
local type, next, ipairs, pairs, pcall, select, error = type, next, ipairs, pairs, pcall, select, error
local setmetatable, rawequal, rawget = setmetatable, rawequal, rawget
local concat, sort = table.concat, table.sort
local find, format, sub, gsub, gmatch = string.find, string.format, string.sub, string.gsub, string.gmatch
local abs = math.abs

local MAX_DIFFERENCES <const> = 10 -- differences shown of two tables
local LONGEST <const> = 200 -- characters of a value shown on a line

local function brief(value)
  local text = gsub(inspect(value), "%s*\n%s*", " ")
  return #text > LONGEST and sub(text, 1, LONGEST) .. " …" or text
end

-- Differences

local function same(a, b, seen)
  if rawequal(a, b) or a == b then
    return true
  elseif type(a) ~= "table" or type(b) ~= "table" or a == null or b == null then
    return a ~= a and b ~= b
  elseif seen[a] == b then
    return true
  end
  seen[a] = b
  for key, value in next, a do
    if not same(value, b[key], seen) then
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

local function key_text(key)
  if type(key) == "string" and find(key, "^[%a_][%w_]*$") then
    return "." .. key
  end
  return "[" .. (type(key) == "string" and format("%q", key) or tostring(key)) .. "]"
end

local function keys_of(a, b)
  local seen, keys = {}, {}
  for _, t in ipairs({ a, b }) do
    for key in next, t do
      if not seen[key] then
        seen[key] = true
        keys[#keys + 1] = key
      end
    end
  end
  sort(keys, function(x, y)
    if type(x) == type(y) and (type(x) == "number" or type(x) == "string") then
      return x < y
    end
    return type(x) < type(y)
  end)
  return keys
end

local function is_plain(value)
  return type(value) == "table" and value ~= null
end

-- Appends a line for each place where two values differ.
local function differences(actual, expected, place, lines, depth)
  if #lines >= MAX_DIFFERENCES or same(actual, expected, {}) then
    return lines
  elseif not (is_plain(actual) and is_plain(expected)) or depth > 16 then
    local at = place == "" and "" or place .. ": "
    lines[#lines + 1] = at .. "expected " .. brief(expected) .. ", got " .. brief(actual)
    return lines
  end
  for _, key in ipairs(keys_of(actual, expected)) do
    differences(actual[key], expected[key], place .. key_text(key), lines, depth + 1)
  end
  return lines
end

local function lines_of(text)
  local lines = {}
  for line in gmatch(text .. "\n", "(.-)\n") do
    lines[#lines + 1] = line
  end
  return lines
end

-- Formats the first differing lines of two texts, with the lines around them.
local function text_difference(actual, expected)
  local a, b = lines_of(actual), lines_of(expected)
  local first = 1
  while a[first] == b[first] and a[first] ~= nil do
    first = first + 1
  end
  local tail = 0
  while tail < #a - first + 1 and tail < #b - first + 1 and a[#a - tail] == b[#b - tail] do
    tail = tail + 1
  end
  local shown = {}
  local function show(sign, list, from, to)
    for i = from, to do
      if i - from >= MAX_DIFFERENCES then
        shown[#shown + 1] = sign .. " …"
        break
      end
      shown[#shown + 1] = sign .. " " .. list[i]
    end
  end
  show(" ", a, first > 2 and first - 2 or 1, first - 1)
  show("-", b, first, #b - tail)
  show("+", a, first, #a - tail)
  show(" ", a, #a - tail + 1, #a - tail + 2 < #a and #a - tail + 2 or #a)
  return "line " .. first .. " differs (- expected, + actual):\n" .. concat(shown, "\n")
end

local function difference(actual, expected)
  if type(actual) == "string" and type(expected) == "string" then
    if find(actual, "\n", 1, true) or find(expected, "\n", 1, true) then
      return text_difference(actual, expected)
    end
  end
  local lines = differences(actual, expected, "", {}, 0)
  if #lines == 1 then
    return lines[1]
  elseif #lines >= MAX_DIFFERENCES then
    lines[#lines + 1] = "…"
  end
  return "they differ:\n  " .. concat(lines, "\n  ")
end

-- expect

local function assertion(message)
  fail("assertion_failed", message)
end

local function contains(whole, part)
  if type(whole) == "string" then
    return find(whole, tostring(part), 1, true) ~= nil
  elseif type(whole) ~= "table" then
    return false
  end
  for _, value in pairs(whole) do
    if same(value, part, {}) then
      return true
    end
  end
  if not is_plain(part) or next(part) == nil then
    return false
  end
  for key, value in next, part do
    if not same(whole[key], value, {}) then
      return false
    end
  end
  return true
end

local function code_and_text(err)
  if type(err) == "table" then
    local details = err.details
    local inner = type(details) == "table" and details.code or nil
    return err.code, tostring(err), inner
  end
  return nil, tostring(err)
end

local function error_of(value)
  if type(value) == "function" then
    local ok, err = pcall(value)
    return not ok, err
  elseif type(value) == "table" and value.effects ~= nil and value.printed ~= nil then
    return value.error ~= nil, value.error
  end
  fail("invalid_arguments", "expect(…):to_fail takes a function, or what Test.run returned")
end

-- Each returns whether it holds, the expectation in words, and optionally a longer message.
local matchers = {
  to_equal = function(actual, expected)
    local held = same(actual, expected, {})
    return held, "to equal " .. brief(expected), not held and difference(actual, expected) or nil
  end,
  to_be = function(actual, expected)
    return rawequal(actual, expected) or actual == expected and type(actual) ~= "table",
      "to be " .. brief(expected)
  end,
  to_be_nil = function(actual)
    return actual == nil, "to be nil"
  end,
  to_be_true = function(actual)
    return actual == true, "to be true"
  end,
  to_be_false = function(actual)
    return actual == false, "to be false"
  end,
  to_be_truthy = function(actual)
    return not not actual, "to be neither nil nor false"
  end,
  to_be_falsy = function(actual)
    return not actual, "to be nil or false"
  end,
  to_be_a = function(actual, kind)
    return type(actual) == kind, "to be a " .. tostring(kind)
  end,
  to_be_close_to = function(actual, expected, within)
    within = within or 1e-6
    local near = type(actual) == "number" and abs(actual - expected) <= within
    return near, "to be within " .. within .. " of " .. tostring(expected)
  end,
  to_be_less_than = function(actual, bound)
    return actual < bound, "to be less than " .. tostring(bound)
  end,
  to_be_greater_than = function(actual, bound)
    return actual > bound, "to be greater than " .. tostring(bound)
  end,
  to_have_length = function(actual, length)
    local measured = (type(actual) == "string" or type(actual) == "table") and #actual or nil
    return measured == length, "to have the length " .. tostring(length) .. ", not " .. tostring(measured)
  end,
  to_contain = function(actual, part)
    return contains(actual, part), "to contain " .. brief(part)
  end,
  to_match = function(actual, pattern)
    return type(actual) == "string" and find(actual, pattern) ~= nil, "to match " .. format("%q", pattern)
  end,
  to_fail = function(actual)
    local failed, err = error_of(actual)
    return failed, "to fail", failed and "it failed with " .. tostring(err) or nil
  end,
  to_fail_with = function(actual, wanted)
    local failed, err = error_of(actual)
    if not failed then
      return false, "to fail with " .. brief(wanted), "it did not fail"
    end
    local code, text, inner = code_and_text(err)
    local held = code == wanted or inner == wanted or find(text, tostring(wanted), 1, true) ~= nil
    local story = "it failed with " .. (code and code .. ": " or "") .. text
    return held, "to fail with " .. brief(wanted), story
  end,
}

local function subject(value)
  return type(value) == "function" and "the function" or brief(value)
end

local function snapshot(value, name)
  if name ~= nil and type(name) ~= "string" then
    fail("invalid_arguments", "snapshot: argument 2 must be a string")
  end
  local text = type(value) == "string" and value or inspect(value)
  local kept = perform("expect.snapshot", { name = name, text = text })
  if kept ~= nil then
    assertion("the snapshot differs: " .. difference(text, kept) .. "\nkeep it with: llmspell test --update")
  end
end

local expectation = { __name = "expectation", __metatable = false }

local function expecting(value, inverted)
  return setmetatable({ value = value, inverted = inverted }, expectation)
end

local function check_colon(given, self, name)
  if not rawequal(given, self) then
    fail("invalid_arguments", name .. " is called with a colon", "write expect(…):" .. name .. "(…)")
  end
end

function expectation.__index(self, name)
  local value, inverted = rawget(self, "value"), rawget(self, "inverted")
  if name == "never" then
    return expecting(value, not inverted)
  elseif name == "to_match_snapshot" then
    return function(called_on, given)
      check_colon(called_on, self, name)
      snapshot(value, given)
    end
  end
  local matcher = matchers[name]
  if not matcher then
    local known = {}
    for key in next, matchers do
      known[#known + 1] = key
    end
    sort(known)
    fail("invalid_arguments", "expect has no " .. tostring(name), "available: never, " .. concat(known, ", "))
  end
  return function(called_on, ...)
    check_colon(called_on, self, name)
    local ok, held, wanted, story = pcall(matcher, value, ...)
    if not ok then -- with a text if a value cannot be compared, or a pattern is malformed
      if type(held) == "string" then
        fail("invalid_arguments", name .. ": " .. held)
      end
      error(held, 0)
    end
    if held == inverted then
      local what = "expected " .. subject(value) .. (inverted and " never " or " ") .. wanted
      assertion(story and (inverted and what .. ": " .. story or story) or what)
    end
  end
end

local function expect(...)
  if select("#", ...) > 1 then
    fail("invalid_arguments", "expect takes one value", "put the call in parentheses: expect((f(x)))")
  end
  return expecting((...), false)
end

return { expect = expect, snapshot = snapshot }
