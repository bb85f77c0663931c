"""Runs that begin as another one did."""

import pytest

from llmspell import Runtime, tool
from llmspell.config import Project, Settings
from llmspell.errors import (
    ConfigError,
    InvalidArguments,
    JournalMismatch,
    LimitExceeded,
    ProviderError,
    ReplayError,
    RunNotFound,
)
from llmspell.hooks.builtin.costs import Costs
from llmspell.journal.reader import Reader
from llmspell.limits import Limits
from llmspell.middleware.usage import TokenUsage
from llmspell.permissions import Grants
from llmspell.providers.scripted import ScriptedProvider
from llmspell.spell import parse_spell
from llmspell.spending.prices import Price
from llmspell.state import MemoryStore

pytestmark = pytest.mark.anyio

SPELL = """
--- /// spell
--- [params]
--- most = 3
--- last = "end"
--- ///
local poet = Agent.create{name = "poet", model = "scripted/a"}
local said = {}
for i = 1, params.most do
  note{line = "before " .. i}
  said[i] = (poet:prompt("line " .. i))
end
note{line = params.last}
return said
"""


@pytest.fixture
def notes():
    return []


@pytest.fixture
def provider():
    return ScriptedProvider(lambda request: f"{request.model} {len(request.messages)}")


@pytest.fixture
def runtime(tmp_path, notes, provider):
    @tool
    async def note(line: str) -> int:
        notes.append(line)
        return len(notes)

    return Runtime(
        project=Project(tmp_path),
        tools=[note],
        providers=[provider],
        store=MemoryStore(),
        output=lambda _: None,
    )


@pytest.fixture
def spell(tmp_path):
    file = tmp_path / "poem.lua"
    file.write_text(SPELL)
    return file


@pytest.fixture
def journal(tmp_path):
    return lambda: Reader.open(tmp_path / ".llmspell" / "runs.db")


async def test_what_came_before_is_not_done_again(runtime, spell, notes, provider, journal):
    async with runtime:
        assert await runtime.run(spell) == ["scripted/a 1", "scripted/a 3", "scripted/a 5"]
        del notes[:], provider.requests[:]
        forked = await runtime.fork("last", "0/4/0", models={"scripted/a": "scripted/b"})
    assert forked == ["scripted/a 1", "scripted/b 3", "scripted/b 5"]
    assert notes == ["before 3", "end"]
    assert [request.model for request in provider.requests] == ["scripted/b", "scripted/b"]
    with journal() as reader:
        new, old = reader.runs()
        assert (new.origin, new.origin_path) == (old.id, "0/4/0")
        assert new.result == forked
        assert old.result == ["scripted/a 1", "scripted/a 3", "scripted/a 5"]


async def test_what_another_model_costs_is_counted_as_its_own(tmp_path, spell, provider, notes):
    @tool
    def note(line: str) -> int:
        notes.append(line)
        return len(notes)

    prices = {"scripted/a": Price(1e6), "scripted/b": Price(2e6)}
    costs, usage = Costs(), TokenUsage()
    async with Runtime(
        project=Project(tmp_path, Settings(prices=prices)),
        tools=[note],
        providers=[provider],
        hooks=[costs],
        middleware=[usage],
        store=MemoryStore(),
        output=lambda _: None,
    ) as runtime:
        await runtime.run(spell)
        costs.spent.clear()
        usage.requests.clear()
        usage.used.clear()
        await runtime.fork("last", "0/4/0", models={"scripted/a": "scripted/b"})
    assert usage.requests == {"scripted/b": 2}
    used = usage.used["scripted/b"]
    assert used.usd == costs.spent["scripted/b"].usd == 2 * used.input_tokens
    assert list(costs.spent) == list(usage.used) == ["scripted/b"]


async def test_a_step_that_is_made_of_others_is_parted_at_its_first(runtime, spell, notes):
    async with runtime:
        await runtime.run(spell)
        del notes[:]
        await runtime.fork("last", "0/4")  # the second prompt
    assert notes == ["before 3", "end"]


async def test_what_was_decided_on_behalf_of_a_step_is_decided_anew(runtime, spell, notes):
    @runtime.hooks.before("tool.call")
    async def watch(call):
        asked.append(call.effect.path)

    asked = []
    async with runtime:
        await runtime.run(spell)
        before = list(asked)
        del asked[:]
        await runtime.fork("last", before[1])
    assert asked == before[1:]


async def test_another_parameter(runtime, spell, notes):
    async with runtime:
        await runtime.run(spell)
        del notes[:]
        forked = await runtime.fork("last", "0/7", params={"most": "4"})
    assert len(forked) == 4
    assert notes == ["before 4", "end"]


async def test_a_parameter_that_had_mattered_before(runtime, tmp_path, notes):
    file = tmp_path / "echo.lua"
    head = '--- /// spell\n--- [params]\n--- word = "tea"\n--- ///\n'
    file.write_text(f'{head}note{{line = params.word}}\nnote{{line = "then"}}')
    async with runtime:
        await runtime.run(file)
        with pytest.raises(JournalMismatch) as caught:
            await runtime.fork("last", "0/1", params={"word": "rain"})
    assert caught.value.where == "echo.lua:5"
    assert '"rain"' in caught.value.message
    assert '"tea"' in caught.value.message
    assert "llmspell fork" in caught.value.hint
    assert notes == ["tea", "then"]


async def test_an_edited_spell(runtime, spell, tmp_path, notes):
    edited = tmp_path / "edited.lua"
    edited.write_text(SPELL.replace("note{line = params.last}", 'note{line = "THE END"}'))
    async with runtime:
        await runtime.run(spell)
        del notes[:]
        await runtime.fork("last", "0/7", spell=edited)
    assert notes == ["THE END"]


async def test_a_fork_that_fails_is_resumed_with_what_was_changed(tmp_path, spell, notes, journal):
    answers = {"scripted/b": [ProviderError("busy", status=400), "at last"]}

    def answer(request):
        return answers[request.model].pop(0) if request.model in answers else "first"

    @tool
    async def note(line: str) -> None:
        notes.append(line)

    async with Runtime(
        project=Project(tmp_path),
        tools=[note],
        providers=[ScriptedProvider(answer)],
        store=MemoryStore(),
        output=lambda _: None,
    ) as runtime:
        await runtime.run(spell, params={"most": 1})
        with pytest.raises(Exception, match="busy"):
            await runtime.fork("last", "0/2", models={"scripted/a": "scripted/b"})
        assert await runtime.resume("last") == ["at last"]
    with journal() as reader:
        assert [run.status for run in reader.runs()] == ["completed", "completed"]


async def test_tasks_at_the_same_time_part_at_a_moment(runtime, tmp_path, notes, journal):
    file = tmp_path / "many.lua"
    file.write_text(
        """
        return Task.map({3, 1, 4, 2}, function(n)
          Task.sleep(n / 50)
          note{line = "woke " .. n}
          note{line = "done " .. n}
          return os.time()
        end)
        """
    )
    async with runtime:
        first = await runtime.run(file)
        with journal() as reader:
            ended = [e for e in reader.effects(reader.run("last")) if e.name == "tool.call"]
        step = next(e for e in ended if e.args["args"]["line"] == "woke 3")
        before = notes[: notes.index("woke 3")]
        after = notes[notes.index("woke 3") :]
        del notes[:]
        second = await runtime.fork("last", step.path)
    assert sorted(notes) == sorted(after)
    assert not set(notes) & set(before)
    assert len(first) == len(second) == 4


STREAMS = """
local function read(asked)
  local heard = {}
  for piece in Agent.create{model = "scripted/a"}:stream(asked) do
    heard[#heard + 1] = piece
    note{line = asked .. " " .. #heard}
  end
  return table.concat(heard)
end
"""


@pytest.mark.parametrize(
    ("step", "asked", "done"),
    [
        ("0/3", 0, ["q 2"]),  # the second note
        ("0.0/0/0", 1, ["q 1", "q 2"]),
    ],
)
async def test_an_answer_that_was_arriving_is_kept_unless_it_is_the_step(
    runtime, tmp_path, notes, provider, journal, step, asked, done
):
    file = tmp_path / "read.lua"
    file.write_text(STREAMS + "return read('q')")
    async with runtime:
        assert await runtime.run(file) == "scripted/a 1"
        with journal() as reader:
            paths = [e.path for e in reader.effects(reader.run("last")) if e.name == "tool.call"]
        assert paths == ["0/2", "0/3"]
        del notes[:], provider.requests[:]
        ids = []
        assert await runtime.fork("last", step, begun=ids.append) == "scripted/a 1"
        assert (len(provider.requests), notes) == (asked, done)
        assert await runtime.replay(ids[0]) == "scripted/a 1"


async def test_what_other_tasks_were_reading_is_kept(runtime, tmp_path, notes, provider):
    file = tmp_path / "read.lua"
    file.write_text(
        STREAMS
        + """
        return Task.all{function() return read("slow") end, function()
          note{line = "first"}
          note{line = "second"}
          return (Agent.create{model = "scripted/a"}:prompt("quick"))
        end}
        """
    )
    async with runtime:
        result = await runtime.run(file)
        del notes[:], provider.requests[:]
        assert await runtime.fork("last", "0.1/1") == result
    assert "first" not in notes
    assert notes.count("second") == 1


async def test_a_fork_of_a_fork(runtime, spell, notes):
    async with runtime:
        await runtime.run(spell)
        await runtime.fork("last", "0/4", models={"scripted/a": "scripted/b"})
        del notes[:]
        again = await runtime.fork("last", "0/6", models={"scripted/a": "scripted/c"})
    assert again == ["scripted/a 1", "scripted/b 3", "scripted/c 5"]
    assert notes == ["end"]


async def test_a_model_that_is_not_asked_any_more_is_told(runtime, spell, caplog):
    async with runtime:
        await runtime.run(spell)
        await runtime.fork("last", "0/4", models={"scripted/a": "scripted/b"})
        assert "was not asked" not in caplog.text
        await runtime.fork("last", "0/4", models={"scripted/z": "scripted/b"})
        assert "scripted/z was not asked after 0/4, so nothing replaced it" in caplog.text
        caplog.clear()
        await runtime.fork("last", "0/6", models={"scripted/b": "scripted/a"})
    assert "scripted/b was not asked after 0/6" in caplog.text


async def test_paths_runs_and_parameters_that_are_not_there(runtime, spell, journal):
    async with runtime:
        await runtime.run(spell)
        with pytest.raises(ReplayError, match=r"recorded nothing at 0/44") as caught:
            await runtime.fork("last", "0/44")
        assert "did you mean" in caught.value.hint
        with pytest.raises(RunNotFound):
            await runtime.fork("1999", "0/1")
        with pytest.raises(ConfigError, match="no parameter named 'least'"):
            await runtime.fork("last", "0/1", params={"least": 1})
        for models in ({"a": "scripted/b"}, {"scripted/a": "b"}):
            with pytest.raises(InvalidArguments, match="does not name a provider and a model"):
                await runtime.fork("last", "0/1", models=models)
    with journal() as reader:
        assert len(reader.runs()) == 1


STRANGE = """
State.set("tea", 1)
local function code(f, args) local _, problem = try(f, args) return problem and problem.code or "done" end
return {code(note, {line = "x"}), code(read_file, {path = "poem.lua"})}
"""


def the_run(folder):
    with Reader.open(folder / ".llmspell" / "runs.db") as reader:
        return reader.run("last")


def a_file(folder):
    file = folder / "strange.lua"
    file.write_text(STRANGE)
    return file


def a_text(_):
    return parse_spell(STRANGE.encode(), name="tea", file="tea.lua", trusted=False)


async def test_a_fork_without_the_tools_of_the_run_is_none(
    runtime, spell, tmp_path, provider, journal
):
    """No run is left behind that could not go on."""
    other = tmp_path / "other.lua"
    other.write_text("return 'no tool'")
    async with runtime:
        await runtime.run(spell)
    with journal() as reader:
        id_ = reader.run("last").id
    options = {"project": Project(tmp_path), "providers": [provider], "output": lambda _: None}
    async with Runtime(**options) as without:
        for at, more in (("0/1", {}), ("0/4/0", {}), ("0/4/0", {"spell": other})):
            with pytest.raises(ReplayError, match=f"the run {id_} has called note") as caught:
                await without.fork(id_, at, **more)
            assert caught.value.hint.endswith("--tools FILE.py")
        with journal() as reader:
            assert [run.id for run in reader.runs()] == [id_]
        assert await without.fork(id_, "0/1", spell=other) == "no tool"


@pytest.mark.parametrize("given", [a_file, a_text])
async def test_a_strangers_spell_is_granted_nothing_of_the_other_run(
    runtime, spell, tmp_path, tmp_path_factory, notes, given
):
    spell.write_text('State.set("tea", 1) State.set("tea", 2)')
    granted, elsewhere = Grants(read=(str(tmp_path),)), tmp_path_factory.mktemp("elsewhere")
    async with Runtime(project=Project(tmp_path), grants=granted) as generous:
        await generous.run(spell)
    refused = ["permission_denied"] * 2
    strange = given(elsewhere)
    async with runtime:
        assert await runtime.fork(the_run(tmp_path).id, "0/1", spell=strange) == refused
        forked = the_run(tmp_path)
        assert (forked.trusted, notes) == (False, [])
        assert await runtime.fork(forked.id, "0/1", spell=spell) is None
        assert not the_run(tmp_path).trusted


async def test_a_run_whose_file_is_no_longer_the_users_own_loses_its_grants(
    tmp_path, tmp_path_factory
):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "tea.lua"
    elsewhere.write_text(STRANGE)
    spell = tmp_path / "tea.lua"
    spell.write_text('State.set("tea", 1) State.set("tea", 2)')
    granted = Grants(tool=("note",), read=(str(tmp_path),))
    async with Runtime(
        project=Project(tmp_path), grants=granted, limits=Limits(effects=1)
    ) as runtime:
        with pytest.raises(LimitExceeded):
            await runtime.run(spell)
    spell.unlink()
    spell.symlink_to(elsewhere)
    async with Runtime(project=Project(tmp_path), limits=Limits()) as runtime:
        assert (await runtime.resume(the_run(tmp_path).id))[1] == "permission_denied"
