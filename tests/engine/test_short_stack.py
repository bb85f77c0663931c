"""What the kernel does for a spell whose stack ends, in the middle of anything."""

import pytest

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("use", "result"),
    [
        ("return #Task.all{function() return 0 end, function() return 1 end}", 2),
        ("State.set('k', 4) return State.get('k')", 4),
        ("return os.time() > 0", True),
        ("return JSON.encode{1}", "[1]"),
    ],
)
async def test_what_was_first_used_without_stack_works_later(lua, use, result):
    for depth in range(185, 200):  # C calls, of which Lua allows 200
        source = f"""
            local function use() {use} end
            local function down(n)
              if n == 0 then return use() end
              return select(2, pcall(down, n - 1))
            end
            down({depth})
            return use()"""
        assert await lua(source) == result


# Near the end of the stack there is room for an operation, but not always for the hook, which comes every
# 100 instructions in a heap of that size.
AT_THE_END = f"""
local successes, effects, tasks = 0, 0, {{}}
for i = 1, 800 do
  tasks[i] = Task.spawn(function()
    local x <close> = setmetatable({{}}, {{__close = function() effects = effects + 1 end}})
    Task.sleep(60)
  end)
end
Task.sleep(0)
local operation = OPERATION
local function down(n, delay)
  if n > 0 then
    local result = down(n - 1, delay)
    return result
  end
  for i = 1, delay or 0 do end
  if delay then operation() end
  return true
end
local function at_the_end()
  local least, most = 0, 3000
  while most - least > 1 do
    local middle = (least + most) // 2
    if pcall(down, middle) then least = middle else most = middle end
  end
  for n = least - 24, least, 2 do
    for delay = 0, 60 do
      if pcall(down, n, delay) then successes = successes + 1 end
    end
  end
end
local deepest = 0
local function fill(n)
  local {", ".join(f"v{i}" for i in range(180))}
  if n == 0 then return (at_the_end()) end
  deepest = deepest + 1
  local result = fill(n - 1)
  return result
end
pcall(fill, 1e9)
deepest = deepest - 20
fill(deepest)
Task.sleep(0)
local seen = effects
for i = 1, #tasks do tasks[i]:cancel() end
return {{successes, seen}}
"""


@pytest.mark.parametrize(
    "operation",
    [
        "function() effects = effects + 1 print('x') end",
        "function() Task.spawn(function() effects = effects + 1 end) end",
        "function() tasks[successes + 1]:cancel() end",
    ],
)
async def test_nothing_is_left_half_done_where_the_stack_ends(lua, operation):
    successes, effects = await lua(AT_THE_END.replace("OPERATION", operation))
    assert 0 < successes <= effects < 800
