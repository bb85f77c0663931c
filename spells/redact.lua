#!/usr/bin/env llmspell
--- /// spell
--- description = "Ask a model through hooks that hide e-mail addresses and keep an audit."
--- [params]
--- text = { type = "string", help = "What to ask; addresses in it never reach the model" }
--- ///

local audit = {}

Hook.before("model.request", function(call)
  local hidden = 0
  for _, message in ipairs(call.args.messages) do
    if type(message.content) == "string" then
      local text, n = message.content:gsub("[%w.+-]+@[%w-]+%.[%w.-]+", "<address>")
      message.content, hidden = text, hidden + n
    end
  end
  audit[#audit + 1] = call.effect .. " to " .. call.args.model .. ": " .. hidden .. " hidden"
  return Hook.modify(call.args)
end, { priority = 100, name = "redact", required = true })

Hook.after("model.request", function(call)
  audit[#audit + 1] = call.effect .. ": " .. call.result.usage.output_tokens .. " tokens back"
end, { name = "audit" })

print((Agent.create({ system = "Answer in one sentence." }):prompt(params.text)))
return { audit = audit }
