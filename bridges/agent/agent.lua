---@meta Agent

local host = ...
local perform, attend, await, fail = host.perform, host.attend, host.await, host.fail
local type, setmetatable = type, setmetatable
local ipairs, pairs, next, pcall, error = ipairs, pairs, next, pcall, error

---@class AgentHandle
---@field id string
local methods = {}
local agent_type = { __index = methods, __name = "agent" }

local function handle(id, from)
  local fields = { id = id, name = from.name, description = from.description, on_text = from.on_text }
  return setmetatable(fields, agent_type)
end

---@class Agent
local Agent = {}

---@class AgentOptions
---@field name? string
---@field description? string its purpose, for an agent that has it as a tool
---@field model? string provider/model; by default the runtime's
---@field system? string instructions
---@field tools? table tool names, other agents, and {name, description, params, run}
---@field output? table a shape or JSON Schema that the answer must match
---@field temperature? number
---@field top_p? number
---@field max_tokens? integer limit of one answer
---@field stop? string[] stop sequences, which end an answer
---@field seed? integer
---@field reasoning? string|integer reasoning effort: "none", "low", "medium", "high", or tokens
---@field cache? boolean false disables prompt caching
---@field extra_body? table additional fields of the provider's protocol
---@field fallback? string[] models to ask when that one fails
---@field attempts? integer how often to ask a model when the failure is transient
---@field handoff? AgentHandle[] agents that the model may hand the conversation over to
---@field retries? integer how often to report to the model why its answer does not match
---@field max_steps? integer limit of model requests per prompt
---@field max_tool_calls? integer limit of tool calls per prompt
---@field parallel? integer limit of concurrent tool calls
---@field tool_timeout? number|string seconds per tool call
---@field approve? string[] tools whose calls need a person's approval
---@field context? {max_tokens: integer, strategy: "trim"|"summarise", keep: integer, model: string}
---@field timeout? number|string seconds per prompt
---@field history? table a conversation to continue
---@field budget? {usd: number, tokens: integer, calls: integer, seconds: number} shared with its forks
---@field capabilities? table its capabilities, as for agent:with
---@field on_text? fun(piece: string) called with each piece of an answer's text as it arrives

-- Converts agents and teams in a list of tools. What is no list is left for the host to refuse.
local function as_tools(list)
  if type(list) ~= "table" then
    return list
  end
  local tools = {}
  for key, tool in next, list do
    tools[key] = type(tool) == "table" and type(tool.as_tool) == "function" and tool:as_tool() or tool
  end
  return tools
end

local function check_type(options, name, wanted)
  local kind = type(options[name])
  if kind ~= "nil" and kind ~= wanted then
    fail("invalid_arguments", "Agent.create: " .. name .. " must be a " .. wanted .. ", not a " .. kind)
  end
end

---Create an agent.
---@param options? AgentOptions
---@return AgentHandle
function Agent.create(options)
  local args = host.with_options({}, options, "Agent.create")
  args.tools, args.handoff = as_tools(args.tools), as_tools(args.handoff)
  check_type(args, "on_text", "function")
  check_type(args, "description", "string")
  local capabilities = args.capabilities
  args.on_text, args.description, args.capabilities = nil, nil, nil
  local agent = handle(perform("agent.create", args), options or {})
  return capabilities and agent:with(capabilities) or agent
end

-- Runs a template in Lua, which returns options, or a function from the overrides to options.
local function returned_by(template, overrides)
  local chunk, problem = host.load_text(template.source, "@" .. template.file)
  if not chunk then
    error(problem, 0)
  end
  local options = chunk()
  if type(options) == "function" then
    options = options(overrides)
  end
  if type(options) ~= "table" then
    fail("invalid_arguments", template.file .. ": it must return a table of options, not a " .. type(options))
  end
  return options
end

---Create an agent from a template: agents/NAME.toml or agents/NAME.lua, or a shipped one.
---@param name string
---@param overrides? AgentOptions override those of the template
---@return AgentHandle
function Agent.from(name, overrides)
  overrides = host.with_options({}, overrides, "Agent.from")
  local template = perform("agent.template", { name = name })
  local options = { name = name }
  for key, value in next, template.options or returned_by(template, overrides) do
    options[key] = value
  end
  for key, value in next, overrides do
    options[key] = value
  end
  local made, agent = pcall(Agent.create, options)
  if not made then
    if type(agent) == "table" then
      agent.message = (template.file or name) .. ": " .. agent.message
    end
    error(agent, 0)
  end
  return agent
end

---Find the run's agents with a capability or name, or that match a search text.
---@param wanted {capability: string, name: string, search: string}
---@return AgentHandle[]
function Agent.find(wanted)
  local agents = perform("agent.find", wanted or {})
  for i, agent in ipairs(agents) do
    agents[i] = handle(agent.id, agent)
  end
  return agents
end

-- A stream is read by one task, while an attendant task runs the prompt.

local streams = setmetatable({}, { __mode = "k" }) -- {id, text, task, group, at, reading, read, done, over, response}
local stream_methods = {}

local function work(stream, request)
  request.stream = stream.id
  local ok, response = pcall(perform, "agent.run", request)
  stream.done = true
  if not (ok and stream.over) then -- it failed, or a hook answered for it: the reader may be waiting
    perform("agent.close", { stream = stream.id })
  end
  if not ok then
    error(response, 0)
  end
  return response
end

-- Waits until the prompt has ended; returns its response, or raises its error.
local function finish(stream)
  stream.over = true
  if not stream.response then
    stream.response = await(stream.task)
  end
  return stream.response
end

-- Returns what a response that a hook put in has for the stream's reader, who has got nothing so far.
local function unstreamed(stream, response)
  if response == nil then -- a hook skipped the prompt
    return nil
  elseif stream.text then
    return response.text ~= "" and response.text or nil
  end
  return { type = "answer", text = response.text, data = response.data }
end

-- The prompt is cancelled with the task that opened the stream: nobody would ever answer the reader.
local function check_open(stream)
  if stream.task.cancelled and not stream.over then
    fail("agent_error", "the stream is closed: the task that opened it has ended")
  end
end

-- Waits for the next group of items. Of two tasks that wait, one would miss items, and the end.
local function next_group(stream)
  if stream.reading then
    fail("agent_error", "the stream is being read by another task")
  end
  stream.reading = true
  local _ <close> = stream.read -- also when the task is cancelled
  return perform("agent.next", { stream = stream.id, text = stream.text })
end

-- Returns the stream's next item; items arrive in groups.
local function take(stream)
  check_open(stream)
  local group, at = stream.group, stream.at + 1
  if group and group[at] ~= nil then
    stream.at = at
    return group[at]
  end
  if stream.over then
    return nil
  end
  group = nil
  if not stream.done then
    group = next_group(stream)
  end
  if group == nil then
    local response = finish(stream)
    return not stream.group and unstreamed(stream, response) or nil
  end
  stream.group, stream.at = group, 1
  return group[1]
end

---@class AgentStream a function that returns the next item at each call, and nil at the end
local stream_type = { __name = "stream", __index = stream_methods, __metatable = false }

function stream_type.__call(self)
  return take(streams[self])
end

---The response, as the second value of `prompt`; items not yet read are skipped.
---@return table response
function stream_methods:response()
  local stream = streams[self]
  repeat
  until take(stream) == nil
  return finish(stream)
end

---Interrupt the request, or the tools being called. The conversation is unchanged.
function stream_methods:close()
  local stream = streams[self]
  if not stream.over then
    perform("agent.stop", { stream = stream.id })
    stream.group = nil
    pcall(finish, stream) -- errors no longer matter to the caller
  end
end

stream_type.__close = stream_methods.close

local function check_options(callee, options, known)
  if options ~= nil and type(options) ~= "table" then
    fail("invalid_arguments", callee .. ": the options must be a table, not a " .. type(options))
  end
  for name in next, options or {} do
    if not known[name] then
      fail("invalid_arguments", callee .. ": " .. host.tostring(name) .. " is not an option")
    end
  end
end

local OF_STREAM, OF_PROMPT = { timeout = true }, { timeout = true, on_text = true }

local function open(agent, input, options, text)
  local request = { agent = agent.id, input = input, timeout = options and options.timeout }
  local self, stream = setmetatable({}, stream_type), { text = text, at = 0 }
  stream.read = setmetatable({}, {
    __close = function()
      stream.reading = false
    end,
  })
  stream.task = attend(work, stream, request)
  stream.id = stream.task.path
  streams[self] = stream
  return self, nil, nil, self
end

---Prompt the agent, and iterate over the pieces of the answer's text as they arrive.
---@param input string|table
---@param options? {timeout: number|string}
---@return AgentStream
function methods:stream(input, options)
  check_options("agent:stream", options, OF_STREAM)
  return open(self, input, options, true)
end

---Prompt the agent, and iterate over all events, as tables with a `type`.
---@param input string|table
---@param options? {timeout: number|string}
---@return AgentStream
function methods:events(input, options)
  check_options("agent:events", options, OF_STREAM)
  return open(self, input, options)
end

local function ask(agent, input, options)
  local on_text = options and options.on_text or agent.on_text
  if not on_text then
    return perform("agent.run", {
      agent = agent.id,
      input = input,
      timeout = options and options.timeout,
    })
  elseif type(on_text) ~= "function" then
    fail("invalid_arguments", "on_text must be a function, not a " .. type(on_text))
  end
  local stream <close> = open(agent, input, options, true)
  for piece in stream do
    on_text(piece)
  end
  return stream:response()
end

---Prompt the agent, and wait for the answer.
---@param input string|table
---@param options? {timeout: number|string, on_text: fun(piece: string)}
---@return any answer text, or the decoded table of an agent with `output`
---@return table response {text, data, usage, steps, tool_calls, finish_reason, model, agent, failed}
function methods:prompt(input, options)
  check_options("agent:prompt", options, OF_PROMPT)
  local response = ask(self, input, options)
  if response == nil then -- a hook skipped the prompt
    return nil
  elseif response.data ~= nil then
    return response.data, response
  end
  return response.text, response
end

---Prompt the agent with {text = …}; returns the whole response.
function methods:execute(input)
  local _, response = self:prompt(input)
  return response
end

---The conversation: a list of {role, content}.
function methods:history()
  return perform("agent.history", { agent = self.id })
end

local SCOPE <const> = "agents" -- the state scope where conversations are saved

---Return the conversation as a table; with a name, also save it in the state.
---@param name? string
---@return table saved
function methods:save(name)
  local saved = perform("agent.save", { agent = self.id })
  if name ~= nil then
    perform("state.set", { scope = SCOPE, key = name, value = saved })
  end
  return saved
end

---Continue a saved conversation: a table, or the name it has in the state.
---@param saved table|string
---@return AgentHandle self
function methods:load(saved)
  if type(saved) == "string" then
    local kept = perform("state.get", { scope = SCOPE, key = saved })
    if kept == nil then
      fail("state_error", "no conversation has been saved as '" .. saved .. "'", "save one: agent:save(name)")
    end
    saved = kept
  end
  perform("agent.load", { agent = self.id, saved = saved })
  return self
end

---Create an agent with the same conversation, independent from then on.
---@return AgentHandle
function methods:fork()
  return handle(perform("agent.fork", { agent = self.id }), self)
end

---Clear the conversation.
function methods:reset()
  perform("agent.reset", { agent = self.id })
end

-- Functions cross as numbers, in the tables of tools, or wrapped as hooks.
local function settings_of(kind, settings)
  if type(settings) ~= "table" or kind ~= "tools" and kind ~= "hooks" then
    return settings
  elseif kind == "tools" then
    local tools = as_tools(settings.tools or settings)
    if settings.tools == nil then
      tools.name = nil
    end
    return { tools = tools, name = settings.name }
  end
  local hooks, given = {}, {}
  for key, value in next, settings do
    if type(value) == "function" then
      hooks[key] = host.hook(value)
    else
      given[key] = value
    end
  end
  given.hooks = hooks
  return given
end

local function check_capabilities(capabilities)
  if type(capabilities) ~= "table" then
    fail("invalid_arguments", "agent:with: takes a table of capabilities, not a " .. type(capabilities))
  end
end

---Add capabilities to the agent: a table from type to settings.
---@param capabilities table {memory = {…}, tools = {…}, …}
---@return AgentHandle self
function methods:with(capabilities)
  check_capabilities(capabilities)
  local given = {}
  for kind, settings in next, capabilities do
    given[kind] = settings_of(kind, settings)
  end
  perform("agent.with", { agent = self.id, capabilities = given })
  return self
end

---Remove capabilities, by name or type.
---@return AgentHandle self
function methods:without(...)
  perform("agent.without", { agent = self.id, names = { ... } })
  return self
end

---The capabilities: a list of {name, type, tools, …}.
function methods:capabilities()
  return perform("agent.capabilities", { agent = self.id })
end

---Whether the agent has a capability of that type or name.
---@param wanted string
---@return boolean
function methods:has(wanted)
  for _, capability in ipairs(self:capabilities()) do
    if capability.type == wanted or capability.name == wanted then
      return true
    end
  end
  return false
end

---Add a note to its memory.
---@param note string
---@param memory? string the name, if it has several
function methods:remember(note, memory)
  perform("agent.remember", { agent = self.id, note = note, memory = memory })
end

---The notes in its memory that contain all of the words, newest first.
---@param words? string
---@param options? {most: integer, memory: string}
---@return string[]
function methods:recall(words, options)
  return perform(
    "agent.recall",
    host.with_options({ agent = self.id, words = words }, options, "agent:recall")
  )
end

---Its variables, by name.
---@param state? string the name, if it has several
---@return table
function methods:variables(state)
  return perform("agent.variables", { agent = self.id, state = state })
end

---Set one of its variables; nil removes it.
---@param name string
---@param value any
---@param state? string the name, if it has several
function methods:set_variable(name, value, state)
  perform("agent.set_variable", { agent = self.id, name = name, value = value, state = state })
end

---Return this agent as an entry for another agent's `tools`.
---@param options? {name: string, description: string}
function methods:as_tool(options)
  local tool = host.with_options({ agent = self.id }, options, "agent:as_tool")
  tool.description = tool.description or self.description
  return tool
end

local builder = {}
builder.__index = builder

local function setter(field)
  return function(self, value)
    self.options[field] = value
    return self
  end
end

for name, field in pairs({
  name = "name",
  model = "model",
  system_prompt = "system",
  system = "system",
  temperature = "temperature",
  max_tokens = "max_tokens",
  max_steps = "max_steps",
  output = "output",
  timeout = "timeout",
  budget = "budget",
}) do
  builder[name] = setter(field)
end

---Add capabilities, as agent:with does.
function builder:with(capabilities)
  check_capabilities(capabilities)
  local given = self.options.capabilities or {}
  self.options.capabilities = given
  for kind, settings in next, capabilities do
    given[kind] = settings
  end
  return self
end

---Add a tool.
function builder:tool(tool)
  local tools = self.options.tools or {}
  self.options.tools = tools
  tools[#tools + 1] = tool
  return self
end

function builder:build()
  return Agent.create(self.options)
end

---Agent.builder():name(…):model(…):system_prompt(…):tool(…):build()
function Agent.builder()
  return setmetatable({ options = {} }, builder)
end

return { Agent = Agent }
