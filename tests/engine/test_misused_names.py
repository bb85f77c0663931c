"""What a spell is told that misspells a name of the library, or mixes up `.` and `:`."""

import pytest

from llmspell.bridge import Bridge
from llmspell.errors import SpellRuntimeError

pytestmark = pytest.mark.anyio


@pytest.fixture
def hint_for(lua):
    async def hint_for(source, **options):
        with pytest.raises(SpellRuntimeError) as caught:
            await lua(source, **options)
        return caught.value.hint

    return hint_for


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("Agent.creat{}", "did you mean Agent.create?"),
        ("Log.warning 'x'", "did you mean Log.warn?"),
        ("State:gett('x')", "did you mean State.get?"),
        ("Spell.call('x')", "Spell has run"),
        ("Agent.new{}", "Agent has create, from, builder, find"),
        ("local a = Agent.create{} a:ask('x')", None),
        ("caculate{expression = '1'}", "did you mean calculate?"),
        ("json.encode{1}", "did you mean JSON?"),
        ("agent{}", "did you mean Agent?"),
        ("fetch('x')", "list the tools with: llmspell tools"),
        ("nothing.at_all()", None),
        ("sleep(1)", "wait with Task.sleep(seconds)"),
        ("os.sleep(1)", "wait with Task.sleep(seconds)"),
    ],
)
async def test_the_library_has_a_similar_name(hint_for, source, hint):
    assert await hint_for(source) == hint


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("State:get('x')", "write it with a dot: State.get(…)"),
        ("State:set('x', 1)", "write it with a dot: State.set(…)"),
        ("return Agent:create{system = 'x'}", "write it with a dot: Agent.create(…)"),
        ("Task:sleep(1)", "write it with a dot: Task.sleep(…)"),
        ("local a = Agent.create{} a.prompt('hi')", "write it with a colon: a:prompt(…)"),
        ("local t = Task.spawn(print) t.await()", "write it with a colon: t:await(…)"),
    ],
)
async def test_dots_and_colons(hint_for, source, hint):
    assert await hint_for(source) == hint


async def test_other_hints_stand(hint_for):
    assert await hint_for("State.get({})") == "takes key (string), scope (string, optional)"
    assert "not with io" in await hint_for("io.write('x')")
    assert await hint_for("error{message = 'State:get(x)', hint = 'mine'}") == "mine"
    assert await hint_for("local a = {} a.prompt('hi')") is None


async def test_a_bridge_of_ones_own_is_known_by_its_page(hint_for, tmp_path):
    (tmp_path / "dice.lua").write_text("return {Dice = {roll = print}}")
    (tmp_path / "README.md").write_text("# Dice\n\n### `Dice.roll(sides)`\n\nRolls.\n")
    dice = Bridge("dice", str(tmp_path / "__init__.py"), globals=("Dice",))
    assert await hint_for("Dice.rol(6)", bridges=[dice]) == "did you mean Dice.roll?"
