-- Empties what the libraries came in. Run last, once everything needed has been captured: after
-- this no path leads from the spell's globals, or from lupa's own look-ups, to the real library.

local next, registry = next, debug.getregistry()

local function clear(t)
  for key in next, t do
    t[key] = nil
  end
end

clear(string)
clear(registry._LOADED)
clear(registry._PRELOAD)
clear(_G)

return {}
