-- Tasks: the coroutines of one spell, and the effects they wait for.
--
-- A task is a table:
--   path       "0.2": the third child of the main task; it does not depend on timing
--   id         its number among the tasks of this state
--   state      "ready" in the queue, "running", "effect" (awaits a reply), "waiting" (for other
--              tasks), "paused" (until the next turn), "done"
--   effects    how many effects it has issued; `name` and `args` are those of the last one, `cost`
--              what it took to pass them on, `reply` the answer, no result if `refused`
--   spawned    how many children it has had; `live` holds the unfinished ones by their index
--   results    what it returned (packed), or `failure` = {value, text, where, traceback}
--   observed   someone handles its failure; `orphans` of a task are failed children without that

local guard, coroutines, codec, errors, reports, tostring = ...
local create, resume, park, can_park =
  coroutines.create, coroutines.resume, coroutines.park, coroutines.can_park
local PARK, close = coroutines.PARK, coroutines.close
local raise_table, fail, new_error = errors.raise_table, errors.fail, errors.new
local put, put_request, mark, forget = codec.put, codec.put_request, codec.mark, codec.forget
local describe_error = reports.describe
local pcall, error, type, next, ipairs, rawequal = pcall, error, type, next, ipairs, rawequal
local pack, unpack, spack, table_remove = table.pack, table.unpack, string.pack, table.remove
local status, traceback = coroutine.status, debug.traceback

local EFFECT, CANCEL = 1, 2 -- records of the outbox, see messages.py
local OUT_OF_MEMORY <const> = "not enough memory"

local current -- the running task
local closing = false -- while the __close handlers of a cancelled task run
local awaiting = {} -- tasks in state "effect", by id
local calls = {} -- tasks that answer the host, by the number of its call
local last_id = 0
local queue, first, last = {}, 1, 0
local paused = {}

local function enqueue(task)
  task.state = "ready"
  last = last + 1
  queue[last] = task
end

local function wait()
  current.state = "waiting"
  park()
end

-- Runs inside the failing task, where the error is raised.
local function describe(e)
  local failure = describe_error(e)
  local inner = current and current.inner
  if inner and rawequal(inner.value, e) then
    failure.traceback = inner.traceback .. failure.traceback
  end
  return failure
end

-- What a finished task returned, or its error once more.
local function outcome(task)
  task.observed = true
  if task.failure then
    current.inner = task.failure
    error(task.failure.value, 0)
  end
  return unpack(task.results, 1, task.results.n)
end

-- Waits until a task is done, whatever becomes of it.
local function join(task)
  task.observed = true
  while task.state ~= "done" do
    task.waiters = task.waiters or {}
    task.waiters[#task.waiters + 1] = current
    wait()
  end
end

-- Nothing outlives the task that started it, and no failure is lost.
local function finish_children(task)
  task.joining = true
  while true do
    for _, orphan in ipairs(task.orphans or {}) do
      if not orphan.observed then
        outcome(orphan)
      end
    end
    if next(task.live) == nil then
      return
    end
    wait()
  end
end

local function body(task, fn, args)
  local results = pack(fn(unpack(args, 1, args.n)))
  finish_children(task)
  return results
end

-- A new task in the queue. One without a parent answers the host's call number `call`.
local function start(path, parent, fn, args, call)
  last_id = last_id + 1
  local task = { id = last_id, path = path, parent = parent, call = call, effects = 0, cost = 0 }
  task.spawned, task.live, task.heads = 0, {}, {}
  task.co = create(function()
    return guard.xpcall(body, describe, task, fn, args)
  end)
  if call then
    calls[call] = task
  end
  enqueue(task)
  return task
end

-- A child of the running task. One that belongs to a group {owner, done = {…}} reports there.
local function spawn(fn, args, group)
  local parent = current
  local index = parent.spawned + 1
  parent.spawned = index
  local child = start(parent.path .. "." .. index - 1, parent, fn, args)
  child.index, child.group = index, group
  child.observed = group ~= nil
  parent.live[index] = child
  return child
end

local function report(task)
  if task.failure then
    reports.failed(task.call, task.failure)
  else
    reports.returned(task.call, task.results[1])
  end
end

local cancel

local function tell_parent(task)
  local parent = task.parent
  parent.live[task.index] = nil
  if task.failure and not task.observed then
    parent.orphans = parent.orphans or {}
    parent.orphans[#parent.orphans + 1] = task
  end
  if parent.joining and parent.state == "waiting" then
    enqueue(parent)
  end
end

local function settle(task)
  task.state = "done"
  for i = 1, task.spawned do
    if task.live[i] then
      cancel(task.live[i])
    end
  end
  for _, waiter in ipairs(task.waiters or {}) do
    if waiter.state == "waiting" then
      enqueue(waiter)
    end
  end
  local group = task.group
  if group then
    group.done[#group.done + 1] = task
    if group.awaited and group.owner.state == "waiting" then
      enqueue(group.owner)
    end
  end
  if task.parent then
    tell_parent(task)
  else
    calls[task.call] = nil
    if not task.cancelled then
      report(task)
    end
  end
end

local function dispose(task)
  if awaiting[task.id] then
    awaiting[task.id] = nil
    put(spack("<BI4", CANCEL, task.id))
  end
  closing = true
  local _, e = close(task.co)
  closing = false
  if e == OUT_OF_MEMORY then
    guard.kill("memory", "memory limit exceeded")
  end
  task.observed = true
  task.failure =
    { value = new_error("cancelled", "the task was cancelled"), text = "cancelled", traceback = "" }
  settle(task)
end

-- Ends a task that is not done, and its children, at the point where they wait.
function cancel(task)
  if task.state == "done" or task.cancelled then
    return
  end
  task.cancelled = true
  if task ~= current then -- the running task is disposed of when it parks
    dispose(task)
  end
end

-- Cancels the task that answers a call of the host.
local function abort(call)
  if calls[call] then
    cancel(calls[call])
  end
end

-- The next finished task of a group, in the order of finishing.
local function next_done(group)
  group.taken = (group.taken or 0) + 1
  while #group.done < group.taken do
    group.awaited = true
    wait()
  end
  return group.done[group.taken]
end

local function refuse_to_perform(name)
  if closing then
    fail("no_effect_here", "a task that is being cancelled cannot perform " .. name)
  elseif not can_park() then
    fail(
      "no_effect_here",
      "cannot perform " .. name .. " inside a C callback",
      "call it before and use its result"
    )
  end
  park() -- the running task was cancelled: it never returns
end

-- Performs an effect: hands a name and plain arguments to the host and waits for the reply.
-- Short, because it runs with hooks on; the root does the rest, in `request`.
local function perform(name, args)
  local task = current
  if closing or task.cancelled or not can_park() then
    refuse_to_perform(name)
  end
  task.state, task.name, task.args = "effect", name, args
  park()
  local reply = task.reply
  task.reply = nil
  if task.cost > 1000 then
    guard.charge(task.cost)
  end
  local refused = task.refused
  if refused then
    task.refused = nil
    if refused == "kill" then
      guard.kill(reply.limit, reply.reason)
    end
    raise_table(reply)
  end
  return reply
end

-- The part of a request that is the same for every effect of that name in that task.
local function new_head(task, name)
  if type(name) ~= "string" then
    error("the name of an effect must be a string, not a " .. type(name), 0)
  end
  local head = spack("<Bs2", EFFECT, spack("<I4s2", task.id, task.path) .. name)
  task.heads[name] = head
  return head
end

local function try_request(task)
  local name = task.name
  task.cost = put_request(task.heads[name] or new_head(task, name), task.effects, task.args)
end

local function request(task)
  local since = mark()
  local ok, message = pcall(try_request, task)
  task.args = nil
  if ok then
    task.effects = task.effects + 1
    awaiting[task.id] = task
    return
  end
  forget(since)
  task.cost = 0
  if message == OUT_OF_MEMORY then
    task.refused, task.reply = "kill", { limit = "memory", reason = "memory limit exceeded" }
  else
    message = tostring(task.name) .. ": " .. message
    task.refused, task.reply = "error", { code = "invalid_arguments", message = message }
  end
  enqueue(task)
end

-- Answers the effect a task waits for; `refused` is "error" or "kill" when it was not done.
local function reply(id, value, refused)
  local task = awaiting[id]
  if task then -- it may have been cancelled while the reply was on its way
    awaiting[id] = nil
    task.reply = value
    task.refused = refused
    enqueue(task)
  end
end

-- Lets the host act on what is in the outbox before the running task goes on.
local function pause()
  if not closing and can_park() then
    current.state = "paused"
    paused[#paused + 1] = current
    park()
  end
end

-- The failure of a task that neither returned nor failed in the ordinary way.
local function unusual_failure(task, message)
  local stack = traceback(task.co)
  close(task.co)
  return { value = message, text = message, traceback = stack }
end

-- Lets a task go on until it waits or ends.
local function run_one(task)
  current = task
  task.state = "running"
  local alive, tag, result = resume(task.co)
  current = nil
  if rawequal(tag, PARK) then
    if task.cancelled then
      dispose(task)
    elseif task.state == "effect" then
      request(task)
    end
    return
  end
  local raised = not alive and tag or tag == false and result
  if guard.dead then
    return
  elseif raised == OUT_OF_MEMORY then
    return guard.kill("memory", "memory limit exceeded")
  elseif alive and status(task.co) ~= "dead" then
    task.failure = unusual_failure(task, "attempt to yield from outside a coroutine")
  elseif not raised then
    task.results = result
  elseif type(raised) == "table" and raised.traceback then
    task.failure = raised
  else -- the error handler itself failed, or the stack was exhausted
    task.failure = unusual_failure(task, tostring(raised))
  end
  settle(task)
end

local fetches = {} -- numbers of the parts that paused tasks wait for

-- Waits until the root has loaded a part.
local function fetch(number)
  if closing or not can_park() then
    fail("no_effect_here", "a global cannot be loaded inside a C callback", "use it once before")
  end
  fetches[#fetches + 1] = number
  pause()
end

local function next_fetch()
  return table_remove(fetches)
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

-- Runs every task that can run. True when some only paused, nil when the run was killed.
local function run()
  if paused[1] then
    take_paused()
  end
  while first <= last do
    local task = queue[first]
    queue[first] = nil
    first = first + 1
    if task.state == "ready" then
      run_one(task)
      if guard.dead then
        return nil
      end
    end
  end
  first, last = 1, 0
  return paused[1] ~= nil
end

return {
  abort = abort,
  cancel = cancel,
  current = function()
    return current
  end,
  fetch = fetch,
  join = join,
  next_done = next_done,
  next_fetch = next_fetch,
  outcome = outcome,
  pause = pause,
  perform = perform,
  reply = reply,
  run = run,
  spawn = spawn,
  start = start,
}
