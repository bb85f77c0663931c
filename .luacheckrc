std = "lua54"
max_line_length = 120
-- Our trusted chunks take everything they use as locals, and spells their globals from llmspell.
files["spells"] = {
  globals = { "params", "arg" },
  read_globals = {
    "Agent", "Tool", "Task", "State", "Hook", "JSON", "Log", "Config", "Debug", "inspect", "try",
  },
}
