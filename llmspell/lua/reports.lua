-- What a task that answers a call of the host came to, put into the outbox.

local guard, codec, tostring, explain = ...
local put, put_value, mark, forget = codec.put, codec.put_value, codec.mark, codec.forget
local pcall, spack, traceback = pcall, string.pack, debug.traceback

local RETURNED, FAILED = 3, 4 -- records, see messages.py

-- What is known of an error where it is raised: {value, text, where, traceback, hint}.
local function describe(e)
  local stack = traceback("", 2)
  local ok, text = guard.pcall(tostring, e)
  text = ok and text or "(an error without a text)"
  return { value = e, text = text, where = guard.where(), traceback = stack, hint = explain(text) }
end

local function failed(call, failure)
  put(spack("<BI4", FAILED, call))
  local since = mark()
  if not pcall(put_value, failure.value) then
    forget(since)
    put_value(failure.text)
  end
  put_value(failure.text)
  put_value(failure.traceback)
  put_value(failure.where)
  put_value(failure.hint)
end

local function returned(call, value)
  local since = mark()
  put(spack("<BI4", RETURNED, call))
  local ok, message = pcall(put_value, value)
  if not ok then
    forget(since)
    failed(call, { value = message, text = "the result: " .. message, traceback = "" })
  end
end

return { describe = describe, failed = failed, returned = returned }
