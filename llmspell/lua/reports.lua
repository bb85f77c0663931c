-- Failures of tasks: describing them, and reporting them to the host.

local part = ...
local codec, protected, tostring = part("codec"), part("protection").pcall, part("basics").tostring
local put, put_value, mark, forget = codec.put, codec.put_value, codec.mark, codec.forget
local pcall, spack, traceback, close = pcall, string.pack, debug.traceback, coroutine.close
local sub, min = string.sub, math.min

local FAILED <const> = 4 -- a record kind, see messages.py
local LONGEST <const> = min(100000, part("config").message // 2) -- bytes of an error's text

-- An error that is too long for a message is still reported, by the beginning of its text.
local function shortened(text)
  return #text <= LONGEST and text or sub(text, 1, LONGEST) .. " …"
end

-- Describes an error where it is raised: {value, text, where, traceback, hint}.
local function describe(e)
  local stack = traceback("", 2)
  local ok, text = protected(tostring, e)
  text = ok and shortened(text) or "(an error without a text)"
  return {
    value = e,
    text = text,
    where = part("following").where(),
    traceback = stack,
    hint = part("hints")(text),
  }
end

-- Describes the failure of a coroutine that yielded something unexpected, or whose error handler failed or
-- had no stack left: then something was `raised`.
local function unusual(co, raised)
  local message = raised and tostring(raised) or "attempt to yield from outside a coroutine"
  local stack = traceback(co)
  close(co)
  return { value = message, text = message, traceback = stack }
end

local function cancelled()
  local value = part("errors").new("cancelled", "the task was cancelled")
  return { value = value, text = "cancelled", traceback = "" }
end

local function failed(call, failure)
  put(spack("<BI4", FAILED, call))
  local since = mark()
  if not pcall(put_value, failure.value) then
    forget(since)
    put_value(failure.text)
  end
  put_value(failure.text)
  put_value(shortened(failure.traceback))
  put_value(failure.where)
  put_value(failure.hint and shortened(failure.hint))
end

return { cancelled = cancelled, describe = describe, failed = failed, unusual = unusual }
