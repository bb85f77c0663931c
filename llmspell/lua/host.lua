-- The table `host` that the Lua of bridges receives.

local part = ...
local later = part("later").later
local next, type = next, type

-- Wraps a function of a spell as a hook: the host passes the fields of the function's argument table,
-- which is cheaper than passing a table.
local function hook(fn)
  return function(phase, effect, path, args, outcome)
    if phase == "error" then
      return fn({ phase = phase, effect = effect, path = path, args = args, error = outcome })
    end
    return fn({ phase = phase, effect = effect, path = path, args = args, result = outcome })
  end
end

-- Merges the options of a call into an effect's arguments; the host rejects unknown ones.
local function with_options(args, options, callee)
  if options ~= nil and type(options) ~= "table" then
    local problem = callee .. ": the options must be a table, not a " .. type(options)
    part("errors").fail("invalid_arguments", problem)
  end
  for key, value in next, options or {} do
    if args[key] == nil then
      args[key] = value
    end
  end
  return args
end

return {
  with_options = with_options,
  perform = part("scheduler").perform,
  fail = later("errors", "fail"),
  null = part("codec").null,
  tostring = part("basics").tostring,
  env = part("library").env,
  format_date = later("dates", "format_date"),
  time_of = later("dates", "time_of"),
  hook = hook,
  define_tool = part("globals").define_tool,
  load_text = part("compiling").load_text,
  write = part("globals").write,
  attend = later("children", "attend"),
  await = later("children", "await"),
  map = later("tasks", "map"),
}
