-- Cuts the state off from the standard libraries. Afterwards they cannot be reached from the spell's
-- globals or through lupa's own look-ups; only the kernel's code still refers to them.

local _G, debug, next = _G, debug, next
local registry = debug.getregistry()

local function clear(t)
  for key in next, t do
    t[key] = nil
  end
end

clear(registry._LOADED)
clear(registry._PRELOAD)
for key, value in next, registry do
  if value == _G then
    registry[key] = {}
  end
end
_G.io, _G.package, _G.require, _G.dofile, _G.loadfile, _G._G = nil, nil, nil, nil, nil, nil

return true
