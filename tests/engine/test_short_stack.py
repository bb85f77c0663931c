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
