---@meta Event

local host = ...
local perform, fail, with_options = host.perform, host.fail, host.with_options
local setmetatable, type = setmetatable, type

---Publish/subscribe messaging between spells, the host, and the parts of this spell.
---@class Event
local Event = {}

---@class EventRecord
---@field topic string
---@field data any
---@field source string "runtime", "host", or the id of the run that published it
---@field number integer its sequence number on its bus
---@field time number seconds since 1970

local methods = {}
local handle = { __name = "subscription", __metatable = false, __index = methods }

local function id_of(subscription, callee)
  local id = subscription
  if type(subscription) == "table" then
    id = subscription.id
  end
  if type(id) ~= "string" then
    fail("invalid_arguments", callee .. ": argument 1 must be a subscription, not a " .. type(subscription))
  end
  return id
end

local function subscribe(args)
  return setmetatable({ id = perform("event.subscribe", args), pattern = args.pattern }, handle)
end

---Wait for the next event of a subscription; nil after `timeout` seconds without one.
---@param subscription table|string
---@param timeout? number|string by default, wait indefinitely
---@return EventRecord?
function Event.receive(subscription, timeout)
  return perform("event.receive", { id = id_of(subscription, "Event.receive"), timeout = timeout })
end

---End a subscription.
---@param subscription table|string
---@return boolean existed
function Event.unsubscribe(subscription)
  return perform("event.unsubscribe", { id = id_of(subscription, "Event.unsubscribe") })
end

methods.receive = Event.receive
methods.unsubscribe = Event.unsubscribe
handle.__close = Event.unsubscribe

---Publish an event.
---@param topic string such as "order.paid"
---@param data? any
function Event.publish(topic, data)
  perform("event.publish", { topic = topic, data = data })
end

---Call fn with each event whose topic matches a pattern; without fn, keep the events for receive.
---@param pattern string such as "order.*"
---@param fn? fun(event: EventRecord)
---@param options? {size: integer, overflow: "drop_oldest"|"wait", replay: integer, timeout: number|string}
function Event.subscribe(pattern, fn, options)
  if type(fn) == "table" and options == nil then
    fn, options = nil, fn
  end
  if fn ~= nil and type(fn) ~= "function" then
    fail("invalid_arguments", "Event.subscribe: argument 2 must be a function, not a " .. type(fn))
  end
  return subscribe(with_options({ pattern = pattern, ["function"] = fn }, options, "Event.subscribe"))
end

---Iterate over the events whose topic matches a pattern, from now on.
---@param pattern string
---@param options? {timeout: number|string, size: integer, overflow: "drop_oldest"|"wait", replay: integer}
function Event.stream(pattern, options)
  local args = with_options({ pattern = pattern }, options, "Event.stream")
  local timeout = args.timeout
  args.timeout = nil
  local subscription = subscribe(args)
  local request = { id = subscription.id, timeout = timeout, lasting = false }
  local function next_event()
    return perform("event.receive", request)
  end
  return next_event, nil, nil, subscription
end

---Wait for the next event whose topic matches a pattern; nil after `timeout` seconds.
---@param pattern string
---@param options? {timeout: number|string, replay: integer}
---@return EventRecord?
function Event.wait(pattern, options)
  return perform("event.wait", with_options({ pattern = pattern }, options, "Event.wait"))
end

---The subscriptions of this spell.
---@return {id: string, pattern: string, waiting: integer, delivered: integer, dropped: integer, failed: integer}[]
function Event.list()
  return perform("event.list", {})
end

---@class EventStatistics
---@field published integer
---@field delivered integer deliveries to subscribers
---@field dropped integer events lost to a subscriber whose backlog was full
---@field failed integer failures of subscribers
---@field waiting integer
---@field subscriptions integer

---Statistics of all events so far.
---@return EventStatistics
function Event.statistics()
  return perform("event.statistics", {})
end

return { Event = Event }
