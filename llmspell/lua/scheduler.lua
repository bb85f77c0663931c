-- Tasks: the coroutines of one spell, and the effects they wait for. Child tasks, and waiting for other
-- tasks, are in children.lua.
--
-- A task is a table:
--   path       "0.2": the third child of the main task; it does not depend on timing
--   id         its number among the tasks of this state
--   state      "ready" in the queue, "running" (also while it awaits a reply), "waiting" (for other
--              tasks), "paused" (until the next turn), "done"
--   effects    the number of effects it has requested; `heads` caches the head of a request by name
--   reply      the value to resume it with, and how the effect was `refused`; `request_cost` is
--              that of passing on the request, if large
--   spawned    the number of children started so far; `live` has the unfinished ones by index
--   results    what it returned (packed, or only the first if it answers a call of the host), or
--              `failure` = {value, text, where, traceback}
--   observed   whether its failure is handled; `orphans` are its failed children that are not observed

local part = ...
local guard, parking, codec = part("guard"), part("parking"), part("codec")
local create, park, PARK = parking.create, parking.park, parking.PARK
local resume, close, yield = coroutine.resume, coroutine.close, coroutine.yield
local isyieldable, apart = coroutine.isyieldable, coroutine.create
local put, put_value, put_request, mark, forget =
  codec.put, codec.put_value, codec.put_request, codec.mark, codec.forget
local put_simple_request = codec.put_simple_request
local pcall, error, type, ipairs, rawequal = pcall, error, type, ipairs, rawequal
local pack, unpack, spack = table.pack, table.unpack, string.pack

local EFFECT <const>, CANCEL <const>, RETURNED <const> = 1, 2, 3 -- record kinds, see messages.py
local MIN_CHARGE <const> = 1000 -- instructions worth a charge
local NIL <const> = 110 -- encoded nil, see codec.py
local ENOUGH <const> = 1024 -- pieces of a message; a request has at least two, see MAX_REQUESTS there
local MAX_IDLE <const> = 16 -- idle coroutines kept for reuse
local OUT_OF_MEMORY <const> = "not enough memory"

local current -- the running task
local closing = false -- while the __close handlers of a cancelled task run
local barred = false -- whether the running code must not perform effects
local awaiting = {} -- tasks that await a reply, by id
local calls = {} -- tasks that answer calls of the host, by the number of the call
local last_id = 0
local queue, first, last = {}, 1, 0
local paused = {}

-- Like codec.put, it may be interrupted anywhere.
local function enqueue(task)
  task.state = "ready"
  local at = last + 1
  queue[at] = task
  last = at
end

-- Runs inside the failing task, where the error is raised.
local function describe(e)
  local failure = part("reports").describe(e)
  local inner = current and current.inner
  if inner and rawequal(inner.value, e) then
    failure.traceback = inner.traceback .. failure.traceback
  end
  return failure
end

local function body()
  local task = current
  local args = task.args
  task.args = nil
  local results
  if task.call then
    results = (task.fn(unpack(args, 1, args.n)))
  else
    results = pack(task.fn(unpack(args, 1, args.n)))
  end
  if task.spawned then
    part("children").finish(task)
  end
  return results
end

local new_caller = part("protection").new_caller

-- A tag that marks a yield as the end of a task, as PARK marks a wait.
local function DONE() end

-- Coroutines are expensive, so each runs one task after another; `idle` ones have none. Nothing of a
-- finished task may remain on their stacks.
local idle, idling = {}, 0

local function work()
  local attempt = new_caller(describe)
  while true do
    yield(DONE, attempt(body))
  end
end

local function worker()
  local co = idle[idling]
  if not co then
    return create(work)
  end
  idle[idling], idling = nil, idling - 1
  return co
end

local function recycle(co)
  if idling < MAX_IDLE then
    idling = idling + 1
    idle[idling] = co
  end
end

local NO_HEADS <const> = {}

-- Creates a task, to be enqueued or run. One without a parent answers the host's call number `call`.
local function new_task(path, parent, fn, args, call)
  last_id = last_id + 1
  return {
    id = last_id,
    path = path,
    parent = parent,
    fn = fn,
    args = args,
    call = call,
    co = worker(),
    effects = 0,
    heads = NO_HEADS,
    state = "ready",
    results = nil,
  }
end

-- Starts a task that answers a call of the host.
local function start(path, fn, args, call)
  local task = new_task(path, nil, fn, args, call)
  calls[call] = task
  enqueue(task)
end

local function report(call, task)
  if task.failure then
    return part("reports").failed(call, task.failure)
  end
  local result = task.results
  if result == nil then
    return put(spack("<BI4B", RETURNED, call, NIL))
  end
  local since = mark()
  put(spack("<BI4", RETURNED, call))
  local ok, message = pcall(put_value, result)
  if not ok then
    forget(since)
    message = guard.check(message)
    if guard.dead then
      return
    end
    part("reports").failed(call, { value = message, text = "the result: " .. message, traceback = "" })
  end
end

local function settle(task)
  task.state = "done"
  if task.spawned or task.parent or task.waiters then
    part("children").settle(task)
  end
  local call = task.call
  if not call then
    return
  end
  calls[call] = nil
  if not task.cancelled then
    report(call, task)
  end
end

-- Loading what may not be loaded comes first, as it may fail for lack of stack.
local function dispose(task)
  local failure = part("reports").cancelled()
  task.cancelled = true
  if awaiting[task.id] then
    awaiting[task.id] = nil
    put(spack("<BI4", CANCEL, task.id))
  end
  local closing_before, barred_before, inside = closing, barred, parking.inside
  closing, barred, parking.inside = true, true, task.co
  local _, e = close(task.co)
  closing, barred, parking.inside = closing_before, barred_before, inside
  if e == OUT_OF_MEMORY then
    guard.kill("memory", "memory limit exceeded")
  end
  task.observed, task.failure = true, failure
  settle(task)
end

-- Cancels an unfinished task and its children at the point where they wait.
local function cancel_here(task)
  if task.state == "done" or task.cancelled then
    return
  elseif task == current then
    task.cancelled, barred = true, true -- it is disposed of when it parks
  else
    dispose(task)
  end
end

-- The same for code of the spell, which may have little stack left: in a coroutine of its own, without a
-- hook, it happens in full or not at all.
local function cancel(task)
  if task.state == "done" then
    return
  end
  local ok, problem = resume(apart(cancel_here), task)
  guard.look()
  if not ok then
    error(guard.check(problem), 0)
  end
end

-- Cancels the task that answers a call of the host.
local function abort(call)
  if calls[call] then
    cancel_here(calls[call])
  end
end

-- Performs an effect: passes a name and plain arguments to the host and waits for the reply.
-- Short, because it runs with hooks on; the root does the rest, in `request`.
local function perform(name, args)
  if barred or not isyieldable() then
    part("refusals").bar(name, closing) -- never returns
  end
  local reply, refused = yield(PARK, name, args)
  if refused then
    return part("refusals").finish(current, name, reply, refused)
  end
  return reply
end

-- Encodes and caches the head of a request, which is the same for every effect of that name in a task.
local function new_head(task, name)
  if type(name) ~= "string" then
    error("the name of an effect must be a string, not a " .. type(name), 0)
  end
  local head = spack("<Bs2", EFFECT, spack("<I4s2", task.id, task.path) .. name)
  if task.heads == NO_HEADS then
    task.heads = {}
  end
  task.heads[name] = head
  return head
end

local function try_request(task, name, args)
  return put_request(task.heads[name] or new_head(task, name), task.effects, args)
end

local function request(task, name, args)
  local head = task.heads[name]
  if head and type(args) == "table" and put_simple_request(head, task.effects, args) then
    task.effects = task.effects + 1
    awaiting[task.id] = task
    return
  end
  local since = mark()
  local ok, cost = pcall(try_request, task, name, args)
  if not ok then
    forget(since)
    if part("refusals").answer(task, name, cost) then
      return enqueue(task)
    end
    first, task.state = first - 1, "ready" -- it ends the run
    queue[first] = task
    return
  elseif cost > MIN_CHARGE then
    task.request_cost = cost
  end
  task.effects = task.effects + 1
  awaiting[task.id] = task
end

-- Delivers the reply to a task's effect; `refused` is "error" or "kill" if it was not performed.
local function reply(id, value, refused)
  local task = awaiting[id]
  if task then -- it may have been cancelled in the meantime
    awaiting[id] = nil
    task.reply, task.refused = value, refused or task.request_cost and "costly"
    enqueue(task)
  end
end

-- Lets the host process the outbox before the running task continues.
local function pause()
  if not closing and isyieldable() then
    park(nil, "paused") -- or goes on at once, if refused
  end
end

-- Handles a task that has ended, or whose coroutine yielded something unexpected.
local function ended(task, alive, tag, ok, result)
  if guard.dead then
    return
  elseif tag == DONE and ok then
    task.results = result
    recycle(task.co)
    return settle(task)
  end
  local raised = not alive and tag or tag == DONE and result
  if raised == OUT_OF_MEMORY then
    return guard.kill("memory", "memory limit exceeded")
  end
  local described = type(raised) == "table" and raised.traceback
  task.failure = described and raised or part("reports").unusual(task.co, raised)
  settle(task)
end

-- Runs a task until it waits or ends.
local function run_one(task, value, refused)
  current, barred, task.state, parking.inside = task, false, "running", false
  local alive, tag, name, args = resume(task.co, value, refused)
  current = nil
  if tag ~= PARK then
    ended(task, alive, tag, name, args)
  elseif task.cancelled then
    dispose(task)
  elseif name ~= nil then
    request(task, name, args)
  else
    task.state = args
    if args == "paused" then
      paused[#paused + 1] = task
    end
  end
end

local function take_paused()
  local tasks = paused
  paused = {}
  for _, task in ipairs(tasks) do
    if task.state == "paused" then
      enqueue(task)
    end
  end
end

-- Runs the tasks that are ready, until the host has enough to do.
local function run_queue()
  repeat
    local task = queue[first]
    queue[first] = nil
    first = first + 1
    if task.state == "ready" then
      local value, refused = task.reply, task.refused
      task.reply, task.refused = nil, nil
      run_one(task, value, refused)
    end
  until first > last or guard.dead or mark() > ENOUGH
  if guard.dead then
    return nil
  elseif first > last then
    first, last = 1, 0
  end
  return last > 0 or paused[1] ~= nil
end

-- Runs every task that can run. Returns true when some have only paused, nil when the run was killed.
local function run()
  if paused[1] then
    take_paused()
  end
  if first <= last then
    return run_queue()
  end
  return false
end

-- Runs a task while no other is ready, and then the others; returns what `run` does.
local function run_alone(task, value)
  run_one(task, value)
  if first <= last then
    return run_queue()
  elseif guard.dead then
    return nil
  end
  return paused[1] ~= nil
end

-- Delivers a reply that came alone, and runs the tasks; returns what `run` does.
local function reply_and_run(id, value)
  local task = awaiting[id]
  if not task or task.request_cost or first <= last or paused[1] then
    reply(id, value)
    return run()
  end
  awaiting[id] = nil
  return run_alone(task, value)
end

-- Starts a task for a call that came alone, and runs the tasks; returns what `run` does.
local function call_and_run(path, fn, args, call)
  if first <= last or paused[1] then
    start(path, fn, args, call)
    return run()
  end
  local task = new_task(path, nil, fn, args, call)
  local more = run_alone(task)
  if task.state ~= "done" then -- most are, and adding a key is expensive
    calls[call] = task
  end
  return more
end

return {
  abort = abort,
  call_and_run = call_and_run,
  cancel = cancel,
  cancel_here = cancel_here,
  current = function()
    return current
  end,
  enqueue = enqueue,
  is_closing = function()
    return closing
  end,
  new_task = new_task,
  pause = pause,
  perform = perform,
  reply = reply,
  reply_and_run = reply_and_run,
  run = run,
  start = start,
}
