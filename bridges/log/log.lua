---@meta Log

local host = ...
local perform, tostring = host.perform, host.tostring

---@class Log
local Log = {}

local function writer(level)
  return function(message, fields)
    perform("log.write", { message = tostring(message), level = level, fields = fields })
  end
end

---Write to the log on stderr. warn and error are always shown, info with --verbose, debug with --debug.
---@type fun(message: any, fields?: table)
Log.debug = writer("debug")
Log.info = writer("info")
Log.warn = writer("warning")
Log.error = writer("error")

return { Log = Log }
