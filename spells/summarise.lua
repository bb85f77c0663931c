#!/usr/bin/env llmspell
--- /// spell
--- description = "Summarise a text file, piece by piece when it is long."
--- [params]
--- file = { type = "string", help = "The file; grant it with --allow-read" }
--- words = { type = "integer", default = 80, help = "About how long the summary may be" }
--- ///

local pieces = split_text({ text = read_file({ path = params.file }), max_chars = 6000, overlap = 200 })

local function summarise(text)
  local agent = Agent.create({
    system = "Summarise the text you are given in at most " .. params.words .. " words.",
  })
  return (agent:prompt(text))
end

local summaries = Task.map(pieces, summarise, { limit = 4 })
if #summaries == 1 then
  return summaries[1]
end
return (summarise(table.concat(summaries, "\n\n")))
