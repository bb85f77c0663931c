import json

import pytest


@pytest.fixture
def agents(write):
    write("agents/poet.toml", 'description = "Rhymes."\nsystem = "Rhyme."\n')
    write("agents/twin.lua", "-- Says it twice.\nreturn {}\n")
    write("agents/broken.toml", "x =")


def test_the_list_says_what_each_is_for(llmspell, agents):
    lines = llmspell("agents").out.splitlines()
    assert lines[0] == "project"
    assert lines[1].startswith("  broken")
    assert "agents/broken.toml: " in lines[1]
    assert lines[2].split() == ["poet", "Rhymes."]
    assert lines[3].split() == ["twin", "Says", "it", "twice."]
    shipped = lines[lines.index("shipped") :]
    assert any(line.startswith("  judge") for line in shipped)


def test_one_agent(llmspell, agents):
    assert llmspell("agents", "poet").out == 'description = "Rhymes."\nsystem = "Rhyme."\n'
    shown = json.loads(llmspell("agents", "poet", "--json").out)
    assert shown["options"] == {"description": "Rhymes.", "system": "Rhyme."}
    assert shown["file"].endswith("agents/poet.toml")
    assert "options" not in json.loads(llmspell("agents", "twin", "--json").out)


def test_as_json(llmspell, agents):
    listed = {agent["name"]: agent for agent in json.loads(llmspell("agents", "--json").out)}
    assert listed["poet"]["description"] == "Rhymes."
    assert "editor" in listed


def test_an_unknown_one(llmspell, agents):
    done = llmspell("agents", "poett")
    assert done.code == 2
    assert "no agent template named 'poett'" in done.err
    assert "did you mean 'poet'?" in done.err
