#!/usr/bin/env llmspell
--- /// spell
--- description = "Count in the project's state: each run goes on where the last one stopped."
--- [params]
--- by = { type = "integer", default = 1, help = "How much to add" }
--- reset = { type = "boolean", default = false, help = "Start again from 0" }
--- ///

local state = State.scope("counter")

if params.reset then
  state.delete("count")
end

local count = state.update("count", function(old)
  return (old or 0) + params.by
end)
state.set("last", os.date("!%Y-%m-%dT%H:%M:%SZ"))
return "counted to " .. count
