-- os.date and os.time for an explicit time or date.

local part = ...
local arguments = part("arguments")
local next, type, pcall, date, time = next, type, pcall, os.date, os.time
local text, wrong_type, settled = arguments.text, arguments.wrong_type, arguments.settled

local MAX_DATE_FORMAT <const> = 1000

-- os.date for a given time. Whether `*t` has the field isdst may depend on the time zone.
local function format_date(format, at)
  format = format == nil and "%c" or text(format, 1, "date")
  if #format > MAX_DATE_FORMAT then
    arguments.bad(1, "date", "format too long")
  end
  return settled("date", pcall(date, format, at))
end

local FIELDS = { "year", "month", "day", "hour", "min", "sec", "isdst" }

-- os.time for a given date.
local function time_of(fields)
  if type(fields) ~= "table" then
    wrong_type(fields, "table", 1, "time")
  end
  local plain = {}
  for i = 1, #FIELDS do
    plain[FIELDS[i]] = fields[FIELDS[i]]
  end
  local result = settled("time", pcall(time, plain))
  for name, value in next, plain do
    fields[name] = value
  end
  return result
end

return { format_date = format_date, time_of = time_of }
