-- Structured concurrency: no task outlives the one that started it, and no failure is lost.

local part = ...
local scheduler = part("scheduler")
local new_task, current, enqueue, cancel_here =
  scheduler.new_task, scheduler.current, scheduler.enqueue, scheduler.cancel_here
local park = part("parking").park
local error, ipairs, next, pack, unpack = error, ipairs, next, table.pack, table.unpack

-- Waits until another task enqueues this one.
local function wait()
  local _, refused = park(nil, "waiting")
  if refused then
    part("refusals").refuse_in_callback("wait for a task")
  end
end

-- Returns the results of a finished task, or raises its error again.
local function outcome(task)
  task.observed = true
  if task.failure then
    current().inner = task.failure
    error(task.failure.value, 0)
  end
  return unpack(task.results, 1, task.results.n)
end

-- Waits until a task is done, whether it succeeds or fails.
local function join(task)
  task.observed = true
  while task.state ~= "done" do
    task.waiters = task.waiters or {}
    task.waiters[#task.waiters + 1] = current()
    wait()
  end
end

-- Waits until a task is done; returns its results, or raises its error.
local function await(task)
  join(task)
  return outcome(task)
end

-- Whether a task has unfinished children, apart from attendants.
local function is_busy(task)
  for _, child in next, task.live do
    if not child.attendant then
      return true
    end
  end
  return false
end

-- Waits for the children of a task whose own function has returned.
local function finish(task)
  task.joining = true
  while true do
    for _, orphan in ipairs(task.orphans or {}) do
      if not orphan.observed then
        outcome(orphan)
      end
    end
    if not is_busy(task) then
      return
    end
    wait()
  end
end

-- Starts a child of the running task. In a group {owner, done = {…}}, it reports its end there.
local function spawn(fn, args, group)
  if scheduler.is_closing() then
    part("errors").fail("no_effect_here", "a task that is being cancelled cannot start others")
  end
  local parent = current()
  local index = (parent.spawned or 0) + 1
  parent.spawned, parent.live = index, parent.live or {}
  local child = new_task(parent.path .. "." .. index - 1, parent, fn, args)
  child.index, child.group = index, group
  child.observed = group ~= nil
  parent.live[index] = child
  enqueue(child)
  return child
end

-- Starts a child that only serves its parent: it is cancelled when the parent's function has returned.
local function attend(fn, ...)
  local child = spawn(fn, pack(...), { done = {} })
  child.attendant = true
  return child
end

local function enqueue_waiting(task)
  if task.state == "waiting" then
    enqueue(task)
  end
end

local function tell_parent(task)
  local parent = task.parent
  parent.live[task.index] = nil
  if task.failure and not task.observed then
    parent.orphans = parent.orphans or {}
    parent.orphans[#parent.orphans + 1] = task
  end
  if parent.joining then
    enqueue_waiting(parent)
  end
end

-- Completes a task that is done: cancels its children, and wakes the tasks that wait for it.
local function settle(task)
  for i = 1, task.spawned or 0 do
    if task.live[i] then
      cancel_here(task.live[i])
    end
  end
  local waiters = task.waiters
  for i = 1, waiters and #waiters or 0 do
    enqueue_waiting(waiters[i])
  end
  local group = task.group
  if group then
    group.done[#group.done + 1] = task
    if group.awaited then
      enqueue_waiting(group.owner)
    end
  end
  if task.parent then
    tell_parent(task)
  end
end

-- Waits for and returns the next finished task of a group, in completion order.
local function next_done(group)
  group.taken = (group.taken or 0) + 1
  while #group.done < group.taken do
    group.awaited = true
    wait()
  end
  return group.done[group.taken]
end

return {
  attend = attend,
  await = await,
  finish = finish,
  join = join,
  next_done = next_done,
  outcome = outcome,
  settle = settle,
  spawn = spawn,
}
