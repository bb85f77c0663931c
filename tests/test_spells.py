"""Every shipped spell, on a model that says what a model might."""

import json
import re

import pytest

from llmspell import Grants, Runtime
from llmspell.config import Project
from llmspell.console import Console
from llmspell.finding import read_spell, shipped_spells
from llmspell.providers.messages import ToolCall
from llmspell.providers.scripted import ScriptedProvider

pytestmark = pytest.mark.anyio

SPELLS = {path.stem: path for path in shipped_spells()}


@pytest.fixture
def cast(tmp_path):
    """Runs a shipped spell: (its result, what it printed, what the model was asked)."""

    async def run(name, replies=(), *, params=None, grants=None, console=None):
        provider = ScriptedProvider(replies)
        printed = []
        async with Runtime(
            project=Project(tmp_path),
            model="scripted/m",
            providers=[provider],
            grants=grants,
            output=printed.append,
            console=console,
        ) as runtime:
            result = await runtime.run(SPELLS[name], params=params or {})
        return result, printed, provider.requests

    return run


def test_there_are_enough_and_each_has_a_test():
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert len(SPELLS) >= 8
    assert set(SPELLS) <= tested


@pytest.mark.parametrize("name", SPELLS)
def test_front_matter_is_complete(name):
    spell = read_spell(SPELLS[name])
    assert spell.description.endswith(".")
    assert all(parameter.help for parameter in spell.params.values())
    assert len(spell.source.splitlines()) <= 60


async def test_hello(cast):
    replies = [[ToolCall("1", "roll_die", {"sides": 6})], "It is a number."]
    for visit in (1, 2):
        _, printed, requests = await cast("hello", replies, params={"sides": 6})
        rolled = int(requests[1].messages[-1].content[0].content[0].text)
        assert 1 <= rolled <= 6
        assert printed[:4] == [
            "  you     Roll a die with 6 sides.",
            "  tool    roll_die",
            "  model   It is a number.",
            "  tool    now",
        ]
        assert printed[4].startswith(f"  state   visit number {visit}, on 20")


async def test_hello_on_the_embedded_model(tmp_path):
    printed = []
    async with Runtime(project=Project(tmp_path), model="local/smollm2") as runtime:
        await runtime.run(SPELLS["hello"], output=printed.append)
    assert re.fullmatch(r"  model   .*\d+\.?", printed[2])


async def test_ask(cast):
    result, _, (request,) = await cast("ask", ["Paris."], params={"question": "Capital of France?"})
    assert result == "Paris."
    assert request.messages[0].text == "Capital of France?"


async def test_chat(cast, tmp_path):
    said = tmp_path / "said.txt"
    said.write_text("hello\nand again\n\nnever read\n")
    with said.open() as file:
        _, printed, requests = await cast(
            "chat", ["hi", "hi again"], console=Console(file.fileno())
        )
    assert printed == ["hi", "hi again"]
    assert [m.text for m in requests[1].messages] == ["hello", "hi", "and again"]


async def test_summarise(cast, tmp_path):
    file = tmp_path / "long.txt"
    file.write_text("One sentence after the other. " * 500)
    grants = Grants(read=(str(tmp_path),))
    result, _, requests = await cast(
        "summarise",
        lambda r: f"summary of {len(r.messages[0].text)}",
        params={"file": str(file)},
        grants=grants,
    )
    assert result.startswith("summary of")
    assert len(requests) > 2
    assert requests[-1].messages[0].text.startswith("summary of")
    file.write_text("Short.")
    result, _, requests = await cast(
        "summarise", ["short"], params={"file": str(file)}, grants=grants
    )
    assert (result, len(requests)) == ("short", 1)


async def test_panel(cast):
    def answer(request):
        if request.output:
            assert "Answer 3: three" in request.messages[0].text
            return json.dumps({"winner": 2, "why": "it is short"})
        return {"a/1": "one", "a/2": "two", "a/3": "three"}[request.model]

    async with Runtime(providers=[ScriptedProvider(answer, name="a")], model="a/judge") as runtime:
        printed = []
        await runtime.run(
            SPELLS["panel"],
            params={"question": "?", "models": ["a/1", "a/2", "a/3"], "judge": "a/judge"},
            output=printed.append,
        )
    assert printed == ["two", "", "chosen from 3 answers: it is short"]


async def test_assistant(cast):
    replies = [[ToolCall("1", "add_item", {"item": "milk"})], "Milk is on the list."]
    result, _, requests = await cast(
        "assistant", replies, params={"request": "put milk on the list"}
    )
    assert result == "Milk is on the list."
    assert requests[1].messages[-1].content[0].content[0].text == "milk is on the list now"
    replies = [[ToolCall("1", "show_list", {})], "There is milk."]
    _, _, requests = await cast("assistant", replies, params={"request": "what is on it?"})
    assert requests[1].messages[-1].content[0].content[0].text == "milk"


async def test_redact(cast):
    text = "Write to bob@example.com and ann.lee+x@mail.example.org!"
    result, printed, (request,) = await cast("redact", ["I will."], params={"text": text})
    assert request.messages[0].text == "Write to <address> and <address>!"
    assert printed == ["I will."]
    assert result["audit"][0] == "model.request to scripted/m: 2 hidden"
    assert "tokens back" in result["audit"][1]


async def test_counter(cast):
    assert (await cast("counter"))[0] == "counted to 1"
    assert (await cast("counter", params={"by": 5}))[0] == "counted to 6"
    assert (await cast("counter", params={"reset": True}))[0] == "counted to 1"
