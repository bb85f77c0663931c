-- The trusted core of a state: it creates the other parts, and is the root coroutine, the only one that
-- the host resumes. Messages arrive in a mailbox, and leave as the one string that the root yields;
-- messages.py describes them.

local sources, bridges, mailbox, config = ...
local load, type, error = load, type, error
local pack, unpack, sunpack, yield = table.pack, table.unpack, string.unpack, coroutine.yield

-- Loads bytecode of the kernel, which stays in the host's memory until it is needed.
local function compile(code, env)
  local f, problem = load(code, "=llmspell", "b", env or _ENV)
  if not f then
    error(problem, 0) -- for lack of memory or stack
  end
  return f
end

sources.kernel = nil
local parts = { bridges = bridges, compile = compile, config = config }

-- Returns a part, creating it at first use, which may be in the middle of a spell. Where the stack ends, a
-- hook may raise between any two assignments, so none relies on the next.
local function part(name)
  local value = parts[name]
  if value == nil then
    local source = sources[name]
    value = (type(source) == "string" and compile(source) or source)(part)
    parts[name] = value
    sources[name] = nil
  end
  return value
end

local guard, codec = part("guard"), part("codec")
local scheduler, globals, load_text = part("scheduler"), part("globals"), part("compiling").load_text
local env, decode, reply, run, take =
  part("library").env, codec.decode, scheduler.reply, scheduler.run, codec.take
local functions, start = codec.functions, scheduler.start
local reply_and_run, call_and_run = scheduler.reply_and_run, scheduler.call_and_run

local REPLY <const>, CALL <const>, MAIN <const> = 1, 3, 7 -- kinds of incoming records
local NIL <const> = 110 -- the value nil as a byte, see codec.py
local MAX_CACHED <const> = 100
local WAIT <const>, MORE <const>, KILLED <const> = "w", "m", "k" -- status bytes of outgoing messages

local function run_main(name, source, params, arguments)
  local chunk, message = load_text(source, name)
  if not chunk then
    part("errors").fail("spell_syntax", message)
  end
  env.params, env.arg = params, arguments
  return chunk(unpack(arguments))
end

-- Handles a record that is neither a reply nor a call; returns the position of the next.
local function receive(kind, number, message, at)
  if kind ~= MAIN then
    return part("records")(kind, number, message, at)
  end
  local name, source, params, arguments
  name, source, at = sunpack("<s4s4", message, at)
  params, at = decode(message, at)
  arguments, at = decode(message, at)
  start("0", run_main, pack(name, source, params, arguments), number)
  return at
end

-- Cache of replies without a result, which repeat for each task: the task's number by the message.
local nil_replies, cached = {}, 0

-- Returns for which task a message of 6 bytes is a reply without a result, or nil.
local function read_nil_reply(message)
  local kind, number, tag = sunpack("<BI4B", message)
  if kind ~= REPLY or tag ~= NIL then
    return nil
  end
  if cached == MAX_CACHED then
    nil_replies, cached = {}, 0
  end
  nil_replies[message], cached = number, cached + 1
  return number
end

-- Handles a message and runs the tasks; returns what scheduler.run does.
local function act(message)
  local at, last = 1, #message
  local answered = last == 6 and (nil_replies[message] or read_nil_reply(message))
  if answered then
    return reply_and_run(answered, nil)
  end
  while at <= last do
    local kind, number = sunpack("<BI4", message, at)
    if kind == REPLY then
      local value
      value, at = decode(message, at + 5)
      if at > last then
        return reply_and_run(number, value)
      end
      reply(number, value)
    elseif kind == CALL then
      local path, id, args
      path, id, at = sunpack("<s2i8", message, at + 5)
      args, at = decode(message, at)
      if at > last then
        return call_and_run(path, functions[id], args, number)
      end
      start(path, functions[id], args, number)
    else
      at = receive(kind, number, message, at + 5)
    end
  end
  return run()
end

local refuel, instructions, seconds = guard.refuel, config.instructions, config.time

globals.add_bridges()
part("lockdown")

return function()
  while true do
    local message = mailbox[1]
    mailbox[1] = nil
    refuel(instructions, seconds)
    local more = act(message)
    if more == nil then
      mailbox[2], mailbox[3], mailbox[4], mailbox[5] = guard.killed()
      yield(take(KILLED))
    else
      yield(take(more and MORE or WAIT))
    end
  end
end
