---@meta Spell

local host = ...
local perform, fail = host.perform, host.fail

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
  local args = { spell = spell }
  if options ~= nil and type(options) ~= "table" then
    fail("invalid_arguments", "Spell.run takes options in a table", "write Spell.run(spell, {…})")
  end
  for key, value in next, options or {} do
    args[key] = value
  end
  return perform("spell.run", args)
end

return { Spell = Spell }
