---@meta Human

local host = ...
local perform, fail = host.perform, host.fail

---@class Human
local Human = {}

---@class HumanOptions
---@field choices? string[] the possible answers
---@field default? string the result for an empty answer, or at the timeout
---@field timeout? number|string seconds, or a duration such as "3d"

---Ask a person a question, and return the answer.
---@param question string
---@param options? HumanOptions
---@return string
function Human.ask(question, options)
  return perform("human.ask", host.with_options({ question = question }, options, "Human.ask"))
end

---Ask a person for approval. Raises not_approved if it is refused.
---@param what string
---@param args? table the arguments to approve, which the person may change
---@return table args the approved arguments
function Human.approve(what, args)
  local decision = perform("human.approve", { what = what, args = args })
  if not decision.approved then
    fail("not_approved", what .. " was not approved" .. (decision.reason and ": " .. decision.reason or ""))
  end
  return decision.args or args or {}
end

return { Human = Human }
