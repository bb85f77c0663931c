#!/usr/bin/env llmspell
--- /// spell
--- description = "A first spell: a model uses a tool, a hook watches, the project remembers."
--- [params]
--- sides = { type = "integer", default = 20, help = "Sides of the die the model rolls" }
--- ///

-- A hook sees every tool call, the model's and the spell's own.
Hook.before("tool.call", function(call)
  print("  tool    " .. call.args.name)
end)

-- An agent is a model with instructions and tools. This tool is a Lua function.
local agent = Agent.create({
  temperature = 0,
  tools = {
    {
      name = "roll_die",
      description = "Roll a die with the given number of sides.",
      params = { sides = "integer" },
      run = function(args)
        return math.random(args.sides)
      end,
    },
  },
})
local question = "Roll a die with " .. params.sides .. " sides."
print("  you     " .. question)
local answer, response = agent:prompt(question)
print("  model   " .. answer)

-- A Python tool is a function too, and state outlives the run.
local today = now().iso:sub(1, 10)
local visits = State.increment("hello.visits")
print(("  state   visit number %d, on %s, with %s"):format(visits, today, response.model))
