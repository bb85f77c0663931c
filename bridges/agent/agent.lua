---@meta Agent

local host = ...
local perform = host.perform
local type, setmetatable, getmetatable = type, setmetatable, getmetatable
local ipairs, pairs, next = ipairs, pairs, next

---@class AgentHandle
---@field id string
local methods = {}
local agent_type = { __index = methods, __name = "agent" }

local function handle(id, name)
  return setmetatable({ id = id, name = name }, agent_type)
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
---@field max_tokens? integer of one answer
---@field max_steps? integer model requests of one prompt
---@field timeout? number seconds of one prompt
---@field history? table a conversation to go on with
---@field extra_body? table fields of the provider's own protocol

---Make an agent.
---@param options? AgentOptions
---@return AgentHandle
function Agent.create(options)
  local args = {}
  for key, value in next, options or {} do
    args[key] = value
  end
  if type(args.tools) == "table" then
    local tools = {}
    for i, tool in ipairs(args.tools) do
      tools[i] = is_agent(tool) and tool:as_tool() or tool
    end
    args.tools = tools
  end
  return handle(perform("agent.create", args), args.name)
end

---Ask, and wait for the answer.
---@param input string|table
---@param options? {timeout: number}
---@return any answer text, or the decoded table of an agent with `output`
---@return table response {text, data, usage, steps, tool_calls, finish_reason, model}
function methods:prompt(input, options)
  local response = perform("agent.run", {
    agent = self.id,
    input = input,
    timeout = options and options.timeout,
  })
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
  return handle(perform("agent.fork", { agent = self.id }), self.name)
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
