#!/usr/bin/env llmspell
--- /// spell
--- description = "Ask a model something, call a tool, remember it: a first spell."
--- [params]
--- question = { type = "string", default = "What is the capital of France?", help = "What to ask" }
--- ///

local visits = State.update("hello.visits", function(old)
  return (old or 0) + 1
end)

local agent = Agent.create({ temperature = 0 })
local answer, response = agent:prompt(params.question)

print("question  " .. params.question)
print("answer    " .. answer)
print("model     " .. response.model)
print("visits    " .. visits)
