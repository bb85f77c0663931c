#!/usr/bin/env llmspell
--- /// spell
--- description = "Talk with a model, a line at a time; an empty line ends it."
--- [params]
--- system = { type = "string", default = "You are a friendly companion. Keep it short.", help = "Instructions" }
--- ///

local agent = Agent.create({ name = "chat", system = params.system })
local turns = 0

for line in Console.lines("you: ") do
  if line == "" then
    break
  end
  for piece in agent:stream(line) do
    Console.write(piece)
  end
  print()
  turns = turns + 1
end

Log.info("the conversation is over", { turns = turns })
