-- Tasks: the coroutines of one spell, and the effects they wait for. Children of tasks, and waiting
-- for other tasks, are in children.lua.
--
-- A task is a table:
--   path       "0.2": the third child of the main task; it does not depend on timing
--   id         its number among the tasks of this state
--   state      "ready" in the queue, "running" (also while it awaits a reply), "waiting" (for other
--              tasks), "paused" (until the next turn), "done"
--   effects    how many effects it has issued; `heads` is what stands in front of each, by name
--   reply      what it is resumed with, and why the effect was `refused`; `dear` is what passing it
--              on cost, if that was much
--   spawned    how many children it has had, from the first on; `live` are the unfinished by index
--   results    what it returned (packed), or `failure` = {value, text, where, traceback}
--   observed   someone handles its failure; `orphans` of a task are failed children without that

local part = ...
local guard, parking, codec = part("guard"), part("parking"), part("codec")
local tostring = part("basics").tostring
local create, park, PARK = parking.create, parking.park, parking.PARK
local resume, close, yield = coroutine.resume, coroutine.close, coroutine.yield
local put, put_value, put_request, mark, forget =
  codec.put, codec.put_value, codec.put_request, codec.mark, codec.forget
local put_simple_request = codec.put_simple_request
local pcall, error, type, ipairs, rawequal = pcall, error, type, ipairs, rawequal
local pack, unpack, spack = table.pack, table.unpack, string.pack

local EFFECT <const>, CANCEL <const>, RETURNED <const> = 1, 2, 3 -- records of the outbox, see messages.py
local DEAR <const> = 1000 -- instructions worth a charge
local NIL <const> = "n" -- that value, see codec.py
local MAX_IDLE <const> = 16 -- coroutines kept for tasks to come
local OUT_OF_MEMORY <const> = "not enough memory"

local current -- the running task
local closing = false -- while the __close handlers of a cancelled task run
local barred = false -- is the running code one that must not perform effects?
local awaiting = {} -- tasks that await a reply, by id
local calls = {} -- tasks that answer the host, by the number of its call
local last_id = 0
local queue, first, last = {}, 1, 0
local paused = {}

local function enqueue(task)
  task.state = "ready"
  last = last + 1
  queue[last] = task
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
  local results = pack(task.fn(unpack(args, 1, args.n)))
  if task.spawned then
    part("children").finish(task)
  end
  return results
end

local attempt = guard.protected(describe)

-- Tells the end of a task from what it yields, as PARK does.
local function DONE() end

-- A coroutine is dear, so it runs one task after another; `idle` are those that have none. Nothing
-- of a task that has ended may stay on their stacks.
local idle, idling = {}, 0

local function work()
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

local function rest(co)
  if idling < MAX_IDLE then
    idling = idling + 1
    idle[idling] = co
  end
end

local NO_HEADS <const> = {}

-- A new task in the queue. One without a parent answers the host's call number `call`.
local function start(path, parent, fn, args, call)
  last_id = last_id + 1
  local task = {
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
  if call then
    calls[call] = task
  end
  last = last + 1
  queue[last] = task
  return task
end

local function report(call, task)
  if task.failure then
    return part("reports").failed(call, task.failure)
  end
  local result = task.results[1]
  if result == nil then
    return put(spack("<BI4", RETURNED, call) .. NIL)
  end
  local since = mark()
  put(spack("<BI4", RETURNED, call))
  local ok, message = pcall(put_value, result)
  if not ok then
    forget(since)
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

local function dispose(task)
  if awaiting[task.id] then
    awaiting[task.id] = nil
    put(spack("<BI4", CANCEL, task.id))
  end
  local barred_before = barred
  closing, barred, parking.active = true, true, task.co
  local _, e = close(task.co)
  closing, barred = false, barred_before
  if e == OUT_OF_MEMORY then
    guard.kill("memory", "memory limit exceeded")
  end
  task.observed = true
  task.failure =
    { value = part("errors").new("cancelled", "the task was cancelled"), text = "cancelled", traceback = "" }
  settle(task)
end

-- Ends a task that is not done, and its children, at the point where they wait.
local function cancel(task)
  if task.state == "done" or task.cancelled then
    return
  end
  task.cancelled = true
  if task == current then
    barred = true -- it is disposed of when it parks
  else
    dispose(task)
  end
end

-- Cancels the task that answers a call of the host.
local function abort(call)
  if calls[call] then
    cancel(calls[call])
  end
end

-- Performs an effect: hands a name and plain arguments to the host and waits for the reply.
-- Short, because it runs with hooks on; the root does the rest, in `request`.
local function perform(name, args)
  if barred or not parking.can_park() then
    part("refusals").bar(name, closing) -- returns never
  end
  local reply, refused = yield(PARK, name, args)
  if refused then
    return part("refusals").finish(current, reply, refused)
  end
  return reply
end

-- The part of a request that is the same for every effect of that name in that task.
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
    part("refusals").answer(task, name, cost)
    return enqueue(task)
  elseif cost > DEAR then
    task.dear = cost
  end
  task.effects = task.effects + 1
  awaiting[task.id] = task
end

-- Answers the effect a task waits for; `refused` is "error" or "kill" when it was not done.
local function reply(id, value, refused)
  local task = awaiting[id]
  if task then -- it may have been cancelled while the reply was on its way
    awaiting[id] = nil
    task.reply, task.refused = value, refused or task.dear and "dear"
    enqueue(task)
  end
end

-- Lets the host act on what is in the outbox before the running task goes on.
local function pause()
  if not closing and parking.can_park() then
    park(nil, "paused")
  end
end

-- Waits until another task enqueues this one.
local function wait()
  park(nil, "waiting")
end

-- What it came to when a task has ended, or its coroutine gave up control in a way that none of ours
-- does.
local function ended(task, alive, tag, ok, result)
  if guard.dead then
    return
  elseif tag == DONE and ok then
    task.results = result
    rest(task.co)
    return settle(task)
  end
  local raised = not alive and tag or tag == DONE and result
  if raised == OUT_OF_MEMORY then
    return guard.kill("memory", "memory limit exceeded")
  elseif not raised then
    task.failure = part("reports").unusual(task.co, "attempt to yield from outside a coroutine")
  elseif type(raised) == "table" and raised.traceback then
    task.failure = raised
  else -- the error handler itself failed, or the stack was exhausted
    task.failure = part("reports").unusual(task.co, tostring(raised))
  end
  settle(task)
end

-- Lets a task go on until it waits or ends.
local function run_one(task, value, refused)
  current, barred, task.state, parking.active = task, false, "running", task.co
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
  until first > last or guard.dead
  first, last = 1, 0
  if guard.dead then
    return nil
  end
  return paused[1] ~= nil
end

-- Runs every task that can run. True when some only paused, nil when the run was killed.
local function run()
  if paused[1] then
    take_paused()
  end
  if first <= last then
    return run_queue()
  end
  return false
end

-- Answers the effect of a task and does the same: nothing else came with the reply.
local function reply_and_run(id, value)
  local task = awaiting[id]
  if not task or task.dear or first <= last or paused[1] then
    reply(id, value)
    return run()
  end
  awaiting[id] = nil
  run_one(task, value)
  if first <= last then
    return run_queue()
  elseif guard.dead then
    return nil
  end
  return paused[1] ~= nil
end

return {
  abort = abort,
  cancel = cancel,
  current = function()
    return current
  end,
  enqueue = enqueue,
  pause = pause,
  perform = perform,
  reply = reply,
  reply_and_run = reply_and_run,
  run = run,
  start = start,
  wait = wait,
}
