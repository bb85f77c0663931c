"""Tries out the Lua of a bridge, so that its mistakes show when it is added and not in a spell."""

from __future__ import annotations

from collections.abc import Sequence

from lupa import lua55

from llmspell.errors import PluginError
from llmspell.limits import Limits
from llmspell.lua.image import LuaPart, build, syntax_problem
from llmspell.lua.vm import Vm

_MEMORY = 256 << 20  # bytes

# The bridge's own text begins on the first line, so that its lines keep their numbers.
_TRIAL = """local host = ... local values = (function(...) {source}
end)(host)
if type(values) ~= "table" then
  error("it returns a " .. type(values) .. " instead of a table of globals", 0)
end
for _, name in ipairs({{ {names} }}) do
  if values[name] == nil then
    error("it does not define " .. name, 0)
  end
end
for name in next, values do
  if host.env[name] ~= nil then
    error("it redefines " .. host.tostring(name), 0)
  end
end
return {{}}
"""


def try_out(bridge: LuaPart, others: Sequence[LuaPart]) -> None:
    """Load the Lua of a bridge after that of others.

    Raises:
        PluginError: It does not compile, fails, does not define the globals it declares, or
            defines existing ones.
    """
    name = f"{bridge.name}.lua"
    problem = syntax_problem(bridge.source.encode(), f"={name}", memory=_MEMORY)
    if problem is not None:
        raise PluginError(f"the Lua of the bridge {bridge.name!r} does not compile: {problem}")
    names = ", ".join(f'"{name}"' for name in bridge.globals)
    trial = _TRIAL.format(source=bridge.source, names=names)
    image = build([*others, LuaPart(bridge.name, trial, debug=True)])
    try:
        Vm(Limits(), seed=0, image=image, tools=()).close()
    except lua55.LuaError as error:
        problem = str(error).split("\n")[0]
        raise PluginError(f"the Lua of the bridge {bridge.name!r} fails: {problem}") from error
