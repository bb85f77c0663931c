---@meta Spell

local host = ...
local perform = host.perform

---@class Spell
local Spell = {}

---@class SpellOptions
---@field name? string the name of a source text in errors
---@field params? table<string, any>
---@field arguments? string[]
---@field grants? table<string, string[]> its permissions, at most those of this spell
---@field limits? table<string, number|string> its limits, at most those of this spell
---@field state? "project"|"memory"
---@field events? "shared"|"own"

---Run a spell of the project by name, or from source text, and return its result.
---@param spell string
---@param options? SpellOptions
---@return any
function Spell.run(spell, options)
  return perform("spell.run", host.with_options({ spell = spell }, options, "Spell.run"))
end

return { Spell = Spell }
