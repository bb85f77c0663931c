#!/usr/bin/env llmspell
--- /// spell
--- description = "Ask several models at once, and let a judge pick the best answer."
--- [params]
--- question = { type = "string", help = "What to ask" }
--- models = { type = "list", default = [], help = "Models, with commas; the default one three times if none" }
--- judge = { type = "string", default = "", help = "The judge's model" }
--- ///

local panel = #params.models > 0 and params.models or { Config.model, Config.model, Config.model }

local answers = Task.map(panel, function(model, i)
  local agent = Agent.create({ name = "panelist-" .. i, model = model, temperature = 0.8 })
  return (agent:prompt(params.question))
end)

local listing = { "Question: " .. params.question }
for i, answer in ipairs(answers) do
  listing[#listing + 1] = "Answer " .. i .. ": " .. answer
end

local judge = Agent.create({
  name = "judge",
  model = params.judge ~= "" and params.judge or nil,
  system = "Several answers to one question follow. Pick the best.",
  output = { winner = { type = "integer", minimum = 1, maximum = #answers }, why = "string" },
  temperature = 0,
})
local verdict = judge:prompt(table.concat(listing, "\n\n"))

print(answers[verdict.winner])
print()
print("chosen from " .. #answers .. " answers: " .. verdict.why)
