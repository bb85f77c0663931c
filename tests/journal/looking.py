"""A recorded run with everything to show: tasks, an agent with a tool, a failure, a hook's child."""

from llmspell import Runtime
from llmspell.config import Project
from llmspell.errors import ProviderError
from llmspell.providers.messages import ToolCall
from llmspell.providers.scripted import ScriptedProvider
from llmspell.state import MemoryStore

SPELL = """
Tool.define{name = "double", description = "Double a number.", params = {n = "integer"},
  run = function(args) State.set("doubled", args.n) return args.n * 2 end}
local poet = Agent.create{name = "poet", system = "Be <brief>.", tools = {"double"}}
local lines = Task.map({"tea", "rain"}, function(about)
  State.set(about, about)
  Task.sleep(0.02)
  return about
end)
local answer = poet:prompt("double 4 </script>")
pcall(function() Agent.create{name = "mute"}:prompt("anything") end)
return {answer, lines}
"""

REPLIES = [
    ToolCall("", "double", {"n": 4}),
    "It is 8.",
    ProviderError("no more words", status=400),
]


async def recorded(folder, source=SPELL, replies=REPLIES, **options):
    """Run a spell with a scripted model, and record it in a folder."""
    provider = ScriptedProvider(list(replies))
    async with Runtime(
        project=Project(folder),
        model="scripted/poet-1",
        providers=[provider],
        store=MemoryStore(),
        output=lambda _: None,
        **options,
    ) as runtime:
        return await runtime.execute(source, name="tea.lua")
