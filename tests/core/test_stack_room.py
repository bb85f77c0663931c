"""Work takes about as long wherever its calls begin on CPython's stack of frames."""

import time

import pytest
from test_schema import bomb

from llmspell import Runtime, schema_checker
from llmspell.config import Project
from llmspell.lua import codec
from llmspell.state import MemoryStore

DEPTHS = range(0, 60, 2)


def assert_all_alike(take):
    """Assert that at no depth it takes four times as long as at the best, when tried again.

    `take` returns the seconds that the work takes at a depth.
    """
    usual = min(map(take, DEPTHS))
    for depth in DEPTHS:
        assert any(take(depth) < 4 * usual for _ in range(3))


def seconds(work, frames=0):
    if frames:
        return seconds(work, frames - 1)
    begin = time.process_time()
    work()
    return time.process_time() - begin


@pytest.mark.parametrize("frames", [0, 40, 80])
def test_checking_a_schema(monkeypatch, frames):
    monkeypatch.setattr(schema_checker, "MAX_STEPS", 50_000)
    schema = bomb("anyOf")
    assert "more than 50,000 steps" in schema_checker.problems(schema, 1)[0]
    assert_all_alike(
        lambda depth: seconds(lambda: schema_checker.problems(schema, 1), frames + depth)
    )


@pytest.mark.parametrize("frames", [0, 40, 80])
def test_encoding_a_large_value(frames):
    def take(depth):
        value = [{"a": 1} for _ in range(20_000)]
        for _ in range(depth):
            value = [value]
        return seconds(lambda: codec.encode(value), frames)

    assert_all_alike(take)


@pytest.mark.anyio
async def test_reading_a_large_message(tmp_path):
    async with Runtime(record=False, project=Project(tmp_path), store=MemoryStore()) as runtime:

        async def take(depth):
            begin = time.process_time()
            await runtime.execute(f"""
                local value = {{}}
                for i = 1, 6000 do value[i] = {{a = 1}} end
                for i = 1, {depth} do value = {{value}} end
                return value""")
            return time.process_time() - begin

        usual = min([await take(depth) for depth in DEPTHS])
        for depth in DEPTHS:
            assert min([await take(depth) for _ in range(3)]) < 4 * usual
