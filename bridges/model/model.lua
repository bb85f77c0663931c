---@meta Model

local host = ...
local perform, fail = host.perform, host.fail
local type, next = type, next
local sqrt, max, min = math.sqrt, math.max, math.min

---@class Model
local Model = {}

---Make one request to a model, without an agent; see the page of this bridge for its fields.
---@param request table {model, messages, system, …}; a string is a single user message
---@return string text of the answer
---@return table response {message, usage, finish_reason, model, id}
function Model.request(request)
  if type(request) == "string" then
    request = { messages = { { role = "user", content = request } } }
  elseif type(request) ~= "table" then
    fail("invalid_arguments", "Model.request: takes a request or a text, not a " .. type(request))
  end
  local args = {}
  for key, value in next, request do
    args[key] = value
  end
  args.model = args.model or perform("config.get", {}).model
  local response = perform("model.request", args)
  local content = response.message.content
  return type(content) == "string" and content or "", response
end

---Compute embeddings of texts, whose similarity tells how close their meanings are.
---@param texts string|string[]
---@param options? {model: string, dimensions: integer}
---@return number[]|number[][] vectors one per text, or the vector of a single text
---@return table response {usage, model}
function Model.embed(texts, options)
  local one = type(texts) == "string"
  local args = host.with_options({ texts = one and { texts } or texts }, options, "Model.embed")
  args.model = args.model or perform("model.embedder", {})
  local answer = perform("model.embed", args)
  local vectors = answer.vectors
  answer.vectors = nil
  return one and vectors[1] or vectors, answer
end

---The models that a provider offers.
---@param provider? string by default that of the default model
---@return string[] names such as "openai/gpt-5.4-mini"
function Model.list(provider)
  return perform("model.list", { provider = provider })
end

---Cosine similarity of two vectors: the cosine of their angle, 1 for the same direction.
---@param a number[]
---@param b number[]
---@return number from -1 to 1; 0 if one of them is all zeros
function Model.similarity(a, b)
  if type(a) ~= "table" or type(b) ~= "table" or #a ~= #b then
    fail("invalid_arguments", "Model.similarity: takes two vectors of the same length")
  end
  local dot, aa, bb = 0.0, 0.0, 0.0
  for i = 1, #a do
    local x, y = a[i], b[i]
    dot, aa, bb = dot + x * y, aa + x * x, bb + y * y
  end
  local cosine = aa * bb > 0 and dot / (sqrt(aa) * sqrt(bb)) or 0.0
  return max(-1.0, min(1.0, cosine)) -- square roots are not exact
end

return { Model = Model }
