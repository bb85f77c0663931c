std = "lua54"
max_line_length = 120
-- Our trusted chunks take everything they use as locals, and spells their globals from llmspell.
files["tests/spells"] = {
  read_globals = { "Test", "after", "after_all", "before", "before_all", "describe", "expect", "it", "snapshot" },
}
files["spells"] = {
  globals = { "params", "arg" },
  read_globals = {
    "Agent", "Config", "Console", "Debug", "Hook", "JSON", "Log", "State", "Task", "Tool",
    "inspect", "try", "now", "read_file", "split_text",
  },
}
