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
---@field description? string what it is for, to an agent that has it as a tool
---@field model? string provider/model; by default the runtime's
---@field system? string instructions
---@field tools? table names of tools, other agents, and {name, description, params, run}
---@field output? table a shape or JSON Schema the answer must fit
---@field temperature? number
---@field top_p? number
---@field max_tokens? integer of one answer
---@field stop? string[] texts at which an answer ends
---@field seed? integer
---@field reasoning? string|integer how much to think: "none", "low", "medium", "high", or tokens
---@field cache? boolean false keeps providers from caching what will come again
---@field extra_body? table fields of the provider's own protocol
---@field fallback? string[] models to ask when that one cannot answer
---@field attempts? integer how often a model is asked when that fails in a way that may pass
---@field handoff? AgentHandle[] agents the model may hand the conversation over to
---@field retries? integer how often it is shown what is wrong with an answer that does not fit
---@field max_steps? integer model requests of one prompt
---@field max_tool_calls? integer of one prompt
---@field parallel? integer tool calls at once
---@field tool_timeout? number seconds of one tool call
---@field approve? string[] tools whose calls a person has to approve of
---@field context? {max_tokens: integer, strategy: "trim"|"summarise", keep: integer, model: string}
---@field timeout? number seconds of one prompt
---@field history? table a conversation to go on with
---@field budget? {usd: number, tokens: integer, calls: integer, seconds: number} of it and its forks
---@field capabilities? table what it can do besides, as for agent:with
---@field on_text? fun(piece: string) called with each piece of an answer's text as it comes

local function as_tools(list)
  local tools = {}
  for i, tool in ipairs(list) do
    -- An agent, or a team.
    tools[i] = type(tool) == "table" and type(tool.as_tool) == "function" and tool:as_tool() or tool
  end
  return tools
end

---Make an agent.
---@param options? AgentOptions
---@return AgentHandle
function Agent.create(options)
  local args = host.with_options({}, options, "Agent.create")
  for _, field in ipairs({ "tools", "handoff" }) do
    if type(args[field]) == "table" then
      args[field] = as_tools(args[field])
    end
  end
  local capabilities = args.capabilities
  args.on_text, args.description, args.capabilities = nil, nil, nil
  local agent = handle(perform("agent.create", args), options or {})
  return capabilities and agent:with(capabilities) or agent
end

-- What a template in Lua returns: options, or a function that makes them of the overrides.
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

---Make an agent that a file describes: agents/NAME.toml or agents/NAME.lua, or a shipped one.
---@param name string
---@param overrides? AgentOptions go before what the file says
---@return AgentHandle
function Agent.from(name, overrides)
  overrides = overrides or {}
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

---The agents of the run that have a capability or a name, or that a text fits.
---@param wanted {capability: string, name: string, search: string}
---@return AgentHandle[]
function Agent.find(wanted)
  local found = perform("agent.find", wanted or {})
  for i, agent in ipairs(found) do
    found[i] = handle(agent.id, agent)
  end
  return found
end

-- A stream is read by one task while another one, which attends it, has the prompt done.

local streams = setmetatable({}, { __mode = "k" }) -- {id, text, task, group, at, done, over, response}
local stream_methods = {}

local function work(stream, request)
  request.stream = stream.id
  local ok, response = pcall(perform, "agent.run", request)
  stream.done = true
  if not ok then
    perform("agent.close", { stream = stream.id })
    error(response, 0)
  end
  return response
end

-- Waits until the prompt has ended; its response, or its error.
local function finish(stream)
  stream.over = true
  if not stream.response then
    stream.response = await(stream.task)
  end
  return stream.response
end

-- The next of what the stream told, which comes in groups.
local function take(stream)
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
    group = perform("agent.next", { stream = stream.id, text = stream.text })
  end
  if group == nil then
    finish(stream)
    return nil
  end
  stream.group, stream.at = group, 1
  return group[1]
end

---@class AgentStream a function that returns one after the other; nil after the last
local stream_type = { __name = "stream", __index = stream_methods, __metatable = false }

function stream_type.__call(self)
  return take(streams[self])
end

---The response, as the second value of `prompt`; what was not read until now is passed over.
---@return table response
function stream_methods:response()
  local stream = streams[self]
  repeat
  until take(stream) == nil
  return finish(stream)
end

---Interrupt the request, or the tools that are being called. The conversation stays as it was.
function stream_methods:close()
  local stream = streams[self]
  if not stream.over then
    perform("agent.stop", { stream = stream.id })
    stream.group = nil
    pcall(finish, stream) -- who wants no more is not told of errors
  end
end

stream_type.__close = stream_methods.close

local function open(agent, input, options, text)
  local request = { agent = agent.id, input = input, timeout = options and options.timeout }
  local self, stream = setmetatable({}, stream_type), { text = text, at = 0 }
  stream.task = attend(work, stream, request)
  stream.id = stream.task.path
  streams[self] = stream
  return self, nil, nil, self
end

---Ask, and iterate over the pieces of the answer's text as they come.
---@param input string|table
---@param options? {timeout: number}
---@return AgentStream
function methods:stream(input, options)
  return open(self, input, options, true)
end

---Ask, and iterate over all that happens, as tables with a `type`.
---@param input string|table
---@param options? {timeout: number}
---@return AgentStream
function methods:events(input, options)
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
  local stream <close> = agent:stream(input, options)
  for piece in stream do
    on_text(piece)
  end
  return stream:response()
end

---Ask, and wait for the answer.
---@param input string|table
---@param options? {timeout: number, on_text: fun(piece: string)}
---@return any answer text, or the decoded table of an agent with `output`
---@return table response {text, data, usage, steps, tool_calls, finish_reason, model, agent, failed}
function methods:prompt(input, options)
  local response = ask(self, input, options)
  if response.data ~= nil then
    return response.data, response
  end
  return response.text, response
end

---Ask with {text = …}; the whole response.
function methods:execute(input)
  local _, response = self:prompt(input)
  return response
end

---The conversation: a list of {role, content}.
function methods:history()
  return perform("agent.history", { agent = self.id })
end

local SCOPE <const> = "agents" -- of the state, where conversations are kept

---The conversation as a table to keep; with a name it is kept in the state as well.
---@param name? string
---@return table saved
function methods:save(name)
  local saved = perform("agent.save", { agent = self.id })
  if name ~= nil then
    perform("state.set", { scope = SCOPE, key = name, value = saved })
  end
  return saved
end

---Go on with a conversation that was saved: the table, or what the state has under a name.
---@param saved table|string
---@return AgentHandle self
function methods:load(saved)
  if type(saved) == "string" then
    local kept = perform("state.get", { scope = SCOPE, key = saved })
    if kept == nil then
      fail("state_error", "no conversation is saved as '" .. saved .. "'", "save one: agent:save(name)")
    end
    saved = kept
  end
  perform("agent.load", { agent = self.id, saved = saved })
  return self
end

---Another agent with the same conversation, which then goes its own way.
---@return AgentHandle
function methods:fork()
  return handle(perform("agent.fork", { agent = self.id }), self)
end

---Forget the conversation.
function methods:reset()
  perform("agent.reset", { agent = self.id })
end

-- Functions cross as numbers: those of tools in their tables, hooks as what the host calls.
local function settings_of(kind, settings)
  if type(settings) ~= "table" or kind ~= "tools" and kind ~= "hooks" then
    return settings
  elseif kind == "tools" then
    local tools = settings.tools or settings
    return { tools = as_tools(tools), name = settings.name }
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

---Give the agent capabilities: their settings by type.
---@param capabilities table {memory = {…}, tools = {…}, …}
---@return AgentHandle self
function methods:with(capabilities)
  if type(capabilities) ~= "table" then
    fail("invalid_arguments", "agent:with: takes a table of capabilities, not a " .. type(capabilities))
  end
  local given = {}
  for kind, settings in next, capabilities do
    given[kind] = settings_of(kind, settings)
  end
  perform("agent.with", { agent = self.id, capabilities = given })
  return self
end

---Take capabilities away, by name or type.
---@return AgentHandle self
function methods:without(...)
  perform("agent.without", { agent = self.id, names = { ... } })
  return self
end

---The capabilities: a list of {name, type, tools, …}.
function methods:capabilities()
  return perform("agent.capabilities", { agent = self.id })
end

---Has the agent a capability of that type or name?
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

---Take a note in its memory.
---@param note string
---@param memory? string which of several
function methods:remember(note, memory)
  perform("agent.remember", { agent = self.id, note = note, memory = memory })
end

---The notes of its memory that have each of the words, the newest first.
---@param words? string
---@param options? {most: integer, memory: string}
---@return string[]
function methods:recall(words, options)
  options = options or {}
  return perform(
    "agent.recall",
    { agent = self.id, words = words, most = options.most, memory = options.memory }
  )
end

---Its variables, by name.
---@param state? string which of several
---@return table
function methods:variables(state)
  return perform("agent.variables", { agent = self.id, state = state })
end

---Set one of its variables; nil removes it.
---@param name string
---@param value any
---@param state? string which of several
function methods:set_variable(name, value, state)
  perform("agent.set_variable", { agent = self.id, name = name, value = value, state = state })
end

---This agent as an entry of another agent's `tools`.
---@param options? {name: string, description: string}
function methods:as_tool(options)
  options = options or {}
  return { agent = self.id, name = options.name, description = options.description or self.description }
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

---Give the agent capabilities, as agent:with does.
function builder:with(capabilities)
  local given = self.options.capabilities or {}
  self.options.capabilities = given
  for kind, settings in next, capabilities do
    given[kind] = settings
  end
  return self
end

---Let the agent use one more tool.
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
