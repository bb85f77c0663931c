---@meta JSON

local host = ...
local perform = host.perform

---@class JSON
---@field null userdata stands for null inside an array
local JSON = { null = host.null }

---Encode a value as JSON.
---@param value any
---@param options? {indent: integer}
---@return string
function JSON.encode(value, options)
  return perform("json.encode", host.with_options({ value = value }, options, "JSON.encode"))
end

---Decode JSON.
---@param text string
---@return any
function JSON.decode(text)
  return perform("json.decode", { text = text })
end

JSON.stringify = JSON.encode
JSON.parse = JSON.decode

return { JSON = JSON }
