---@meta Spell

local host = ...
local perform = host.perform

---@class Spell
local Spell = {}

---@class SpellOptions
---@field name? string what a text is called in errors
---@field params? table<string, any>
---@field arguments? string[]
---@field grants? table<string, string[]> what it may touch, of what this spell may
---@field limits? table<string, number|string> what it may use, of what this spell may
---@field state? "project"|"memory"
---@field events? "shared"|"own"

---Runs a spell of the project by its name, or the text of one, and returns what it returns.
---@param spell string
---@param options? SpellOptions
---@return any
function Spell.run(spell, options)
  return perform("spell.run", host.with_options({ spell = spell }, options, "Spell.run"))
end

return { Spell = Spell }
