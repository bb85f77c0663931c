---@meta Agent

local host = ...
local perform, attend, await, fail = host.perform, host.attend, host.await, host.fail
local type, setmetatable, getmetatable = type, setmetatable, getmetatable
local ipairs, pairs, next, pcall, error = ipairs, pairs, next, pcall, error

---@class AgentHandle
---@field id string
local methods = {}
local agent_type = { __index = methods, __name = "agent" }

local function handle(id, name, on_text)
  return setmetatable({ id = id, name = name, on_text = on_text }, agent_type)
end

local function is_agent(value)
  return type(value) == "table" and getmetatable(value) == agent_type
end

---@class Agent
local Agent = {}

---@class AgentOptions
---@field name? string
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
---@field output_tool? boolean the model answers by calling a tool
---@field retries? integer how often it is shown what is wrong with an answer that does not fit
---@field max_steps? integer model requests of one prompt
---@field max_tool_calls? integer of one prompt
---@field parallel? integer tool calls at once
---@field tool_timeout? number seconds of one tool call
---@field context? {max_tokens: integer, strategy: "trim"|"summarise", keep: integer, model: string}
---@field timeout? number seconds of one prompt
---@field history? table a conversation to go on with
---@field budget? {usd: number, tokens: integer, calls: integer, seconds: number} of it and its forks
---@field on_text? fun(piece: string) called with each piece of an answer's text as it comes

local function as_tools(list)
  local tools = {}
  for i, tool in ipairs(list) do
    tools[i] = is_agent(tool) and tool:as_tool() or tool
  end
  return tools
end

---Make an agent.
---@param options? AgentOptions
---@return AgentHandle
function Agent.create(options)
  local args = {}
  for key, value in next, options or {} do
    args[key] = value
  end
  for _, field in ipairs({ "tools", "handoff" }) do
    if type(args[field]) == "table" then
      args[field] = as_tools(args[field])
    end
  end
  local on_text = args.on_text
  args.on_text = nil
  return handle(perform("agent.create", args), args.name, on_text)
end

-- A stream is read by one task while another one, which attends it, has the prompt done.

local streams = setmetatable({}, { __mode = "k" }) -- {id, text, task, done, over, response}, by handle
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

local function take(stream, text)
  if stream.over then
    return nil
  end
  local item = nil
  if not stream.done then
    item = perform("agent.next", { stream = stream.id, text = text })
  end
  if item == nil then
    finish(stream)
  end
  return item
end

---@class AgentStream a function that returns one after the other; nil after the last
local stream_type = { __name = "stream", __index = stream_methods, __metatable = false }

function stream_type.__call(self)
  local stream = streams[self]
  return take(stream, stream.text)
end

---The response, as the second value of `prompt`; what was not read until now is passed over.
---@return table response
function stream_methods:response()
  local stream = streams[self]
  repeat
  until take(stream, stream.text) == nil
  return finish(stream)
end

---Interrupt the request, or the tools that are being called. The conversation stays as it was.
function stream_methods:close()
  local stream = streams[self]
  if not stream.over then
    perform("agent.stop", { stream = stream.id })
    finish(stream)
  end
end

stream_type.__close = stream_methods.close

local function open(agent, input, options, text)
  local request = { agent = agent.id, input = input, timeout = options and options.timeout }
  local self, stream = setmetatable({}, stream_type), { text = text }
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

---Another agent with the same conversation, which then goes its own way.
---@return AgentHandle
function methods:fork()
  return handle(perform("agent.fork", { agent = self.id }), self.name, self.on_text)
end

---Forget the conversation.
function methods:reset()
  perform("agent.reset", { agent = self.id })
end

---This agent as an entry of another agent's `tools`.
---@param options? {name: string, description: string}
function methods:as_tool(options)
  options = options or {}
  return { agent = self.id, name = options.name, description = options.description }
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
