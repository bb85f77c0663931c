#!/usr/bin/env llmspell
--- /// spell
--- description = "Ask a model one question."
--- [params]
--- question = { type = "string", help = "What to ask" }
--- system = { type = "string", default = "Answer briefly and plainly.", help = "Instructions" }
--- ///

local agent = Agent.create({ system = params.system })
local answer, response = agent:prompt(params.question)
Log.info("answered", { model = response.model, tokens = response.usage.output_tokens })
return answer
