import pytest

from llmspell.errors import SpellSyntaxError

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("source", "part_of_hint"),
    [
        ("for i = 1, 3 do i = i + 1 end", "for loop is constant"),
        ("do " * 300 + "end " * 300, "nested too deeply"),
        ("if a != b then end", "~="),
        ("x = !y", "not"),
        ("if a && b then end", "and, or, not"),
        ("if a || b then end", "and, or, not"),
        ("if a = b then end", "=="),
        ("while a = b do end", "=="),
        ("x += 1", "x = x + 1"),
        ("i++", "x = x + 1"),
        ("// what", "--"),
        ("/* what */", "--"),
        ("x = a ? b : c", "and a or b"),
        ("x = [1, 2]", "{1, 2}"),
        ('x = {"a": 1}', "{key = value}"),
        ("function f() { return 1 }", "end"),
        ("x = `text`", "[[text]]"),
    ],
    ids=lambda text: text[:24],
)
async def test_what_other_languages_allow_has_a_hint(lua, source, part_of_hint):
    with pytest.raises(SpellSyntaxError) as caught:
        await lua(source)
    assert part_of_hint in caught.value.hint


@pytest.mark.parametrize("source", ["x = ", "end", "x = 'a", "return 1 print(2)", "goto nowhere"])
async def test_other_code_that_does_not_compile_has_none(lua, source):
    with pytest.raises(SpellSyntaxError) as caught:
        await lua(source)
    assert caught.value.hint is None
