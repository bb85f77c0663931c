-- What the Lua of bridges is given.

local part = ...
local later = part("arguments").later

return {
  perform = part("scheduler").perform,
  fail = later("errors", "fail"),
  null = part("codec").null,
  tostring = part("basics").tostring,
  env = part("library").env,
  format_date = later("dates", "format_date"),
  time_of = later("dates", "time_of"),
  define_tool = part("globals").define_tool,
  load_text = part("globals").load_text,
  attend = later("children", "attend"),
  await = later("children", "await"),
  map = later("tasks", "map"),
}
