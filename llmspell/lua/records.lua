-- Handles the rarer incoming records, other than replies and calls; returns where the next begins.

local part = ...
local codec, scheduler = part("codec"), part("scheduler")
local sunpack = string.unpack
local decode, functions, reply = codec.decode, codec.functions, scheduler.reply

local REFUSAL <const>, RELEASE <const>, ABORT <const>, KILL <const> = 2, 4, 5, 6

return function(kind, number, message, at)
  if kind == REFUSAL then
    local e
    e, at = decode(message, at)
    reply(number, e, "error")
  elseif kind == RELEASE then
    functions[number] = nil
  elseif kind == ABORT then
    scheduler.abort(number)
  elseif kind == KILL then
    local limit, reason
    limit, reason, at = sunpack("<s4s4", message, at)
    reply(number, { limit = limit, reason = reason }, "kill")
  end
  return at
end
