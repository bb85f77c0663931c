---@meta Human

local host = ...
local perform, fail = host.perform, host.fail

---@class Human
local Human = {}

---@class HumanOptions
---@field choices? string[] what can be answered
---@field default? string what an empty answer means, and none in time
---@field timeout? number seconds

---Asks a person and returns the answer.
---@param question string
---@param options? HumanOptions
---@return string
function Human.ask(question, options)
  return perform("human.ask", host.with_options({ question = question }, options, "Human.ask"))
end

---Has a person approve of something. Raises not_approved when that is refused.
---@param what string
---@param args? table what it is about; the person may change it
---@return table args as approved
function Human.approve(what, args)
  local decision = perform("human.approve", { what = what, args = args })
  if not decision.approved then
    fail("not_approved", what .. " was not approved" .. (decision.reason and ": " .. decision.reason or ""))
  end
  return decision.args or args or {}
end

return { Human = Human }
