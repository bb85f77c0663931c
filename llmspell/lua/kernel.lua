-- The trusted part of a state: loads the other parts, and is the root coroutine,
-- the only one the host resumes. Messages come in through a mailbox and go out as the one string
-- the root yields; messages.py describes them.

local parts, mailbox, config = ...
local pack, unpack, sunpack, yield = table.pack, table.unpack, string.unpack, coroutine.yield

local function part(name, ...)
  return parts[name](...)
end

local guard = part("guard", config)
local coroutines = part("coroutines", guard)
local library = part("library", part, guard, coroutines, config)
local codec = part("codec", config)
local errors = part("errors", library.tostring, guard.where)
local reports = part("reports", guard, codec, library.tostring, library.explain)
local scheduler = part("scheduler", guard, coroutines, codec, errors, reports, library.tostring)
local globals = part("globals", part, guard, library, codec, errors, scheduler, config)
local env, reply, decode = library.env, scheduler.reply, codec.decode

local REPLY, REFUSAL, CALL, RELEASE, ABORT, KILL, MAIN = 1, 2, 3, 4, 5, 6, 7 -- records that come in
local WAIT, MORE, KILLED, LOAD = "w", "m", "k", "l" -- first byte of what the root yields

local function run_main(name, source, params, arguments)
  local chunk, message = globals.load_text(source, name)
  if not chunk then
    errors.fail("spell_syntax", message)
  end
  env.params, env.arg = params, arguments
  return chunk(unpack(arguments))
end

-- Acts on a record that is no reply; returns where the next begins.
local function receive(kind, number, message, at)
  if kind == REFUSAL then
    local e
    e, at = decode(message, at)
    scheduler.reply(number, e, "error")
  elseif kind == CALL then
    local path, id, args
    path, id, at = sunpack("<s2i8", message, at)
    args, at = decode(message, at)
    scheduler.start(path, nil, codec.lent(id), pack(unpack(args)), number)
  elseif kind == MAIN then
    local name, source, params, arguments
    name, source, at = sunpack("<s4s4", message, at)
    params, at = decode(message, at)
    arguments, at = decode(message, at)
    scheduler.start("0", nil, run_main, pack(name, source, params, arguments), number)
  elseif kind == RELEASE then
    codec.release(number)
  elseif kind == ABORT then
    scheduler.abort(number)
  elseif kind == KILL then
    local limit, reason
    limit, reason, at = sunpack("<s4s4", message, at)
    scheduler.reply(number, { limit = limit, reason = reason }, "kill")
  end
  return at
end

local function read(message)
  local at, last = 1, #message
  while at <= last do
    local kind, number, after = sunpack("<BI4", message, at)
    if kind == REPLY then
      local value
      value, at = decode(message, after)
      reply(number, value)
    else
      at = receive(kind, number, message, after)
    end
  end
end

local instructions, seconds = config.instructions, config.time

local function turn()
  local message = mailbox[1]
  mailbox[1] = nil
  guard.refuel(instructions, seconds)
  read(message)
  local more = scheduler.run()
  while more do
    local number = scheduler.next_fetch()
    if not number then
      break
    end
    mailbox[2] = number
    yield(LOAD)
    globals.loaded(number, mailbox[2])
    more = scheduler.run()
  end
  if more == nil then
    mailbox[2], mailbox[3], mailbox[4], mailbox[5] = guard.killed()
    return codec.take(KILLED)
  end
  return codec.take(more and MORE or WAIT)
end

local function root()
  while true do
    yield(turn())
  end
end

part("lockdown")
return root
