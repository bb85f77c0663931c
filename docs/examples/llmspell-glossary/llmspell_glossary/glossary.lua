local host = ...

---@class Glossary
local Glossary = {}

---What a term means.
---@param term string
---@return string
function Glossary.meaning(term)
  return host.perform("glossary.meaning", { term = term })
end

---All terms, each with what it means: `for term, meaning in Glossary.each() do`.
---@return fun(): string?, string?
function Glossary.each()
  local terms, at = host.perform("glossary.terms", {}), 0
  return function()
    at = at + 1
    if terms[at] then
      return terms[at], Glossary.meaning(terms[at])
    end
  end
end

return { Glossary = Glossary }
