#!/usr/bin/env llmspell
--- /// spell
--- description = "An agent whose tools are Lua functions: it keeps a shopping list."
--- [params]
--- request = { type = "string", help = "Such as: put milk on the list" }
--- ///

local list = State.scope("shopping")

local agent = Agent.create({
  name = "assistant",
  system = "You keep a shopping list. Use the tools, then say in one sentence what you did.",
  temperature = 0,
  tools = {
    {
      name = "add_item",
      description = "Put an item on the shopping list.",
      params = { item = { type = "string", description = "What to buy" } },
      run = function(args)
        list.set(args.item, true)
        return args.item .. " is on the list now"
      end,
    },
    {
      name = "show_list",
      description = "Show what is on the shopping list.",
      params = {},
      run = function()
        local items = list.keys()
        return #items > 0 and table.concat(items, ", ") or "the list is empty"
      end,
    },
  },
})

return (agent:prompt(params.request))
