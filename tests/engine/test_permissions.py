"""What a run may do, who is asked for the rest, and what comes of the answers."""

import json
import logging
import os
import stat
import sys
from dataclasses import replace

import anyio
import pytest

from llmspell import Grants, tool
from llmspell.config import find_project
from llmspell.effects import Effect
from llmspell.errors import ConfigError, PermissionDenied, SpellRuntimeError
from llmspell.permissions import Need, Permissions
from llmspell.permissions.policy import PermissionRequest
from llmspell.providers.scripted import ScriptedProvider
from llmspell.spell import parse_spell

pytestmark = pytest.mark.anyio


@tool
def price(item: str) -> float:
    """What something costs."""
    return 3.5


@tool(pure=True)
def length(text: str) -> int:
    """How long a text is."""
    return len(text)


@tool(reads=["path"])
async def first_line(effect: Effect, path: str) -> str:
    """The first line of a file."""
    text = await effect.perform("tool.call", name="read_file", args={"path": path})
    return text.splitlines()[0]


class Person:
    """Answers questions in order, and knows what was asked."""

    def __init__(self, *replies):
        self.replies, self.asked = list(replies), []
        self.busy = False

    async def __call__(self, question):
        assert not self.busy, "one question at a time"
        self.busy = True
        self.asked.append(question)
        await anyio.sleep(0.01)
        self.busy = False
        return self.replies.pop(0)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.txt", "b.txt", "data/c.txt", "data/secret/d.txt"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{name}\nhidden\n")
    return tmp_path


def read(*names):
    """A spell that reads these one after the other, and returns what came of each."""
    calls = "".join(f"results[#results + 1] = try({name!r})\n" for name in names)
    return f"""
        local results = {{}}
        local function try(name)
          local ok, result = pcall(read_file, {{path = name}})
          return ok and result:match("[^\\n]*") or result.code
        end
        {calls}
        return results
    """


@pytest.fixture
def run(new_runtime):
    """`await run(source, trusted=…, **options of the runtime)`."""

    async def running(source, *, trusted=True, **options):
        options.setdefault("tools", [price, length, first_line])
        options.setdefault("record", False)
        spell = replace(parse_spell(source.encode(), name="s", file="s.lua"), trusted=trusted)
        async with new_runtime(**options) as runtime:
            return await runtime.run(spell)

    return running


REFUSED = "permission_denied"


# Denied, and not granted


async def test_what_is_denied_wins_over_everything(run, files):
    denied = Grants(read=(str(files / "data"),))
    spell = read("a.txt", "data/c.txt")
    for options in (
        {"grants": Grants.all()},
        {"grants": Grants(read=(str(files), "data"))},
        {"grants": Grants(read=(str(files),)), "ask": Person()},
    ):
        assert await run(spell, denied=denied, **options) == ["a.txt", REFUSED]


async def test_what_is_denied_is_not_found_in_folders(run, files):
    (files / "way").symlink_to("data/secret")
    source = """
        local names = {}
        for _, file in ipairs(list_files{path = ".", recursive = true}) do names[#names + 1] = file.path end
        local found = search_files{path = ".", query = "hidden"}
        for _, line in ipairs(found) do names[#names + 1] = line.path .. ":" .. line.line end
        return names
    """
    everything = await run(source, grants=Grants.all())
    assert {"data/secret", "data/secret/d.txt", "data/secret/d.txt:2", "way"} <= set(everything)
    seen = await run(source, grants=Grants.all(), denied=Grants(read=("data/secret", "b.txt")))
    assert seen == ["a.txt", "data", "data/c.txt", "a.txt:2", "data/c.txt:2"]


@pytest.mark.parametrize(
    "path",
    [
        *("llmspell.toml", "llmspell.json", ".llmspell/grants.json", "way/state.db"),
        *("data/llmspell.toml", "data/llmspell.yaml", "data/.llmspell/grants.json"),
        *("new/.llmspell", "data/secret/../llmspell.yml", "elsewhere/grants.json"),
        *("data/__pycache__/shop.cpython-311.pyc", "link.txt", "inner/llmspell.toml"),
    ],
)
async def test_no_spell_can_write_what_decides_on_it(run, files, path):
    (files / ".llmspell").mkdir()
    (files / "way").symlink_to(".llmspell")
    (files / "data" / ".llmspell").mkdir()
    (files / "elsewhere").symlink_to("data/.llmspell")
    (files / "link.txt").symlink_to("data/llmspell.json")
    (files / "inner").symlink_to("data")
    before = sorted(files.rglob("*"))
    write = f"write_file{{path = {path!r}, content = '', create_folders = true}}"
    with pytest.raises(SpellRuntimeError, match="it is denied"):
        await run(write, grants=Grants.all())
    assert sorted(files.rglob("*")) == before


async def test_no_spell_can_delete_or_add_to_what_decides_on_another_project(run, files):
    decisive = files / "data" / "llmspell.toml"
    decisive.write_text("[limits]\n")
    for call in ("delete_file{path = p}", "write_file{path = p, content = 'x', append = true}"):
        with pytest.raises(SpellRuntimeError, match="it is denied"):
            await run(f"local p = 'data/llmspell.toml' {call}", grants=Grants.all())
    assert decisive.read_text() == "[limits]\n"


async def test_no_spell_can_write_python_that_the_settings_name(run, files):
    module = files / "own.py"
    module.write_text("async def through(effect, following):\n    return await following(effect)\n")
    entry = {"name": "own", "module": "own.py:through"}
    (files / "llmspell.toml").write_text(
        f"[[middleware]]\nname = {entry['name']!r}\nmodule = {entry['module']!r}\n"
    )
    (files / "also.py").symlink_to("own.py")
    project = find_project(files)
    for path in ("own.py", "also.py"):
        write = f"write_file{{path = {path!r}, content = ''}}"
        with pytest.raises(SpellRuntimeError, match="it is denied"):
            await run(write, grants=Grants.all(), project=project)
    await run("write_file{path = 'other.py', content = ''}", grants=Grants.all(), project=project)


CODE = (
    *("x.lua", "spells/x.lua", "lua_modules/x/init.lua", "spells/big/spell.toml", "shop.py"),
    "shop.pyc",
    *("lib.cpython-311-x86_64-linux-gnu.so", "agents/poet.toml", "data/../x.lua", "way/x.lua"),
    *("data/agents/poet.toml", "tea.dist-info/entry_points.txt"),
)


@pytest.mark.parametrize("path", CODE)
async def test_a_grant_of_the_whole_project_is_none_of_its_code(run, files, path):
    (files / "way").symlink_to("data")
    write = f"write_file{{path = {path!r}, content = 'x', create_folders = true}}"
    for folder in (".", str(files), str(files.parent), "/"):
        with pytest.raises(SpellRuntimeError, match="it is code") as caught:
            await run(write, grants=Grants(write=(folder,)))
    assert caught.value.hint == f"grant it with --allow-write={path}"
    inner = f"Spell.run({write!r}, {{grants = {{write = {{{path!r}}}}}}})"
    with pytest.raises(SpellRuntimeError, match="it is code"):
        await run(inner, grants=Grants(write=(".",)))
    assert not list(files.rglob("x.lua"))
    for granted in ((".", path), (), ("*",)):
        await run(write, grants=Grants(write=granted))
        (files / path).unlink()


async def test_code_may_be_written_where_its_folder_is_granted(run, files):
    grants = Grants(write=("spells", "data"))
    await run(
        "write_file{path = 'spells/x.lua', content = '', create_folders = true}", grants=grants
    )
    with pytest.raises(SpellRuntimeError, match=r"(?m)may not write x\.lua$"):
        await run("write_file{path = 'x.lua', content = ''}", grants=grants)
    for path in ("data/x.txt", "data/agents", "data/luar"):
        await run(f"write_file{{path = {path!r}, content = ''}}", grants=Grants(write=(".",)))
    elsewhere = files.parent / "elsewhere.lua"
    grants = Grants(write=(str(files.parent),))
    await run(f"write_file{{path = {str(elsewhere)!r}, content = ''}}", grants=grants)


@pytest.mark.parametrize(
    "beginning",
    [
        b"#!/usr/bin/env llmspell\n",
        b"#!/usr/bin/env -S llmspell --allow-net\r\n",
        b"--- /// spell\n--- ///\n",
        b"\xef\xbb\xbf#!/bin/sh\n\n-- Tea.\n\t\r\n---   /// spell\r\n--- ///\r\n",
    ],
)
async def test_a_spell_is_code_whatever_it_is_called(run, files, beginning):
    spell = beginning + b"return 1\n"
    (files / "brew").write_bytes(spell)
    for change in ("delete_file{path = 'brew'}", "write_file{path = 'brew', content = 'x'}"):
        with pytest.raises(SpellRuntimeError, match="it is code"):
            await run(change, grants=Grants(write=(".",)))
    assert (files / "brew").read_bytes() == spell
    await run("delete_file{path = 'brew'}", grants=Grants(write=("brew",)))


@pytest.mark.parametrize(
    "text",
    ["", "llmspell", "# Notes\n\n```lua\n--- /// spell\n--- ///\n```\n", "#!/bin/sh\nllmspell x"],
)
async def test_a_text_about_spells_is_no_code(run, files, text):
    (files / "notes").write_text(text)
    await run("write_file{path = 'notes', content = 'x'}", grants=Grants(write=(".",)))


async def test_a_pipe_is_no_spell(run, files):
    os.mkfifo(files / "pipe")
    with pytest.raises(SpellRuntimeError, match=r"pipe"):
        await run("write_file{path = 'pipe', content = 'x'}", grants=Grants(write=(".",)))


async def test_python_beside_what_the_settings_name_is_granted_by_its_own_name(run, files):
    through = "async def through(effect, following):\n    return await following(effect)\n"
    (files / "tools").mkdir()
    (files / "tools" / "own.py").write_text(through)
    (files / "llmspell.toml").write_text(
        "[[middleware]]\nname = 'own'\nmodule = 'tools/own.py:through'\n"
    )
    options = {"project": find_project(files)}
    for path in ("tools/csv.py", "tools/csv.pyc", "tools/csv/__init__.py"):
        write = f"write_file{{path = {path!r}, content = '', create_folders = true}}"
        with pytest.raises(SpellRuntimeError, match="it is code"):
            await run(write, grants=Grants(write=("tools",)), **options)
        await run(write, grants=Grants(write=("tools/csv", path)), **options)
    notes = "write_file{path = 'tools/notes.txt', content = ''}"
    await run(notes, grants=Grants(write=("tools",)), **options)


async def test_what_is_in_the_environment_of_python_is_granted_by_its_own_name(
    run, files, monkeypatch
):
    monkeypatch.setattr(sys, "prefix", str(files / "env"))
    for path in ("env/bin/llmspell", "env/lib/start.pth"):
        (files / path).parent.mkdir(parents=True)
        write = f"write_file{{path = {path!r}, content = ''}}"
        for folder in (".", "env", str(files.parent)):
            with pytest.raises(SpellRuntimeError, match="it is code"):
                await run(write, grants=Grants(write=(folder,)))
        await run(write, grants=Grants(write=(str((files / path).parent),)))
    await run("write_file{path = 'environment', content = ''}", grants=Grants(write=(".",)))


async def test_a_program_that_may_be_run_is_written_by_its_own_name(run, files):
    (files / "bin").mkdir()
    build = files / "bin" / "build"
    build.write_text("#!/bin/sh\necho built\n")
    build.chmod(0o755)
    (files / "make").symlink_to("bin/build")
    write = "write_file{path = 'bin/build', content = '#!/bin/sh\\necho anything\\n'}"
    for program in ("./bin/build", str(build), "./make"):
        for folder in (".", "bin"):
            with pytest.raises(SpellRuntimeError, match="it is code"):
                await run(write, grants=Grants(write=(folder,), run=(program,)))
    notes = "write_file{path = 'bin/notes', content = ''}"
    await run(notes, grants=Grants(write=("bin",), run=("./bin/build",)))
    assert "built" in build.read_text()
    for granted in ({"run": ("true",)}, {"run": ("./bin/build",), "write": ("bin/build",)}):
        await run(write, grants=Grants(**{"write": ("bin",), **granted}))


async def test_a_grant_of_the_project_is_none_of_the_spells_own_file(new_runtime, files):
    (files / "report").write_text("write_file{path = arg[1], content = 'x'}")
    project = find_project(files)
    async with new_runtime(grants=Grants(write=(".",)), project=project) as runtime:
        with pytest.raises(SpellRuntimeError, match="it is code"):
            await runtime.run("report", arguments=["report"])
        await runtime.run("report", arguments=["notes"])
    async with new_runtime(grants=Grants(write=("report",)), project=project) as runtime:
        await runtime.run("report", arguments=["report"])


async def test_what_is_named_like_settings_may_be_written(run, files):
    for path in ("data/llmspell.toml.txt", "data/llmspell", "data/my.llmspell"):
        await run(f"write_file{{path = {path!r}, content = ''}}", grants=Grants.all())
        assert (files / path).exists()


async def test_without_anybody_to_ask_the_flag_is_told(run, files):
    with pytest.raises(SpellRuntimeError) as caught:
        await run("read_file{path = 'a.txt'}")
    assert isinstance(caught.value.cause, PermissionDenied)
    assert caught.value.hint == "grant it with --allow-read=a.txt"


# Answers


async def test_once_is_for_that_effect_alone(run, files):
    person = Person("once", "no")
    assert await run(read("data/../a.txt", "a.txt"), ask=person) == ["a.txt", REFUSED]
    wanted = Grants(read=(str(files / "a.txt"),))
    assert person.asked == [PermissionRequest("s.lua", "read_file", wanted, lasting=True)] * 2


async def test_once_is_not_for_what_the_effect_performs(run, files):
    person = Person("once", "no")
    with pytest.raises(SpellRuntimeError, match=r"read_file may not read"):
        await run("return first_line{path = 'a.txt'}", ask=person)
    assert [question.by for question in person.asked] == ["first_line", "read_file"]
    assert await run("return first_line{path = 'a.txt'}", ask=Person("once", "once")) == "a.txt"


async def test_once_holds_where_it_led_when_it_was_asked(run, files):
    """A link that is swapped while the question is on the screen leads nowhere."""

    async def swapping(question):
        (files / "way").unlink()
        (files / "way").symlink_to("b.txt")
        return "once"

    (files / "way").symlink_to("a.txt")
    assert await run(read("way"), ask=swapping) == [REFUSED]


async def test_for_the_run_is_for_all_effects(run, files):
    person = Person("run", "no")
    assert await run(read("a.txt", "a.txt", "b.txt"), ask=person) == ["a.txt", "a.txt", REFUSED]
    assert len(person.asked) == 2
    person = Person("run")
    source = "return first_line{path = 'a.txt'}"
    assert await run(source, ask=person) == "a.txt"


async def test_no_is_not_asked_again(run, files):
    person = Person("no", "run")
    spell = read("a.txt", "a.txt", "./data/../a.txt", "b.txt")
    assert await run(spell, ask=person) == [REFUSED] * 3 + ["b.txt"]
    assert len(person.asked) == 2


@pytest.mark.parametrize(("reply", "questions"), [("run", 1), ("no", 1), ("once", 8)])
async def test_while_one_is_asked_others_wait_and_profit(run, files, reply, questions):
    person = Person(*[reply] * 8)
    source = """
        local names = Task.map({1, 2, 3, 4, 5, 6, 7, 8}, function()
          local ok, result = pcall(read_file, {path = "a.txt"})
          return ok and "read" or result.code
        end)
        return names
    """
    assert await run(source, ask=person) == [REFUSED if reply == "no" else "read"] * 8
    assert len(person.asked) == questions


async def test_a_question_that_is_given_up_makes_room_for_the_next(run, files):
    asked = []

    async def slow(question):
        asked.append(question)
        if len(asked) == 1:
            await anyio.sleep(20)
        return "once"

    source = """
        local ok = pcall(Task.timeout, 0.1, function() return read_file{path = "a.txt"} end)
        return {ok, #read_file{path = "b.txt"}}
    """
    assert await run(source, ask=slow) == [False, 13]


async def test_what_leads_nowhere_and_what_is_denied_is_not_asked_for(run, files):
    (files / "loop").symlink_to("loop")
    source = read("loop", "b.txt") + "\n"
    denied = Grants(read=("b.txt",), run=())
    assert await run(source, denied=denied, ask=Person()) == [REFUSED] * 2
    assert await run("return pcall(run_program, {program = '*'})", ask=Person()) is False


# Always


async def test_always_is_remembered_for_that_text(run, files):
    spell = read("a.txt")
    assert await run(spell, ask=Person("always")) == ["a.txt"]
    file = files / ".llmspell" / "grants.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(json.loads(file.read_text()).values()) == [{"read": [str(files / "a.txt")]}]
    assert await run(spell) == ["a.txt"]
    assert await run(spell + "-- changed") == [REFUSED]
    assert await run(spell, denied=Grants(read=())) == [REFUSED]
    assert [path.name for path in file.parent.iterdir()] == ["grants.json"]


async def test_what_is_remembered_adds_up(run, files):
    spell = read("a.txt", "b.txt")
    assert await run(spell, ask=Person("always", "no")) == ["a.txt", REFUSED]
    assert await run(spell, ask=Person("always")) == ["a.txt", "b.txt"]
    assert await run("return read_file{path = 'a.txt'}", ask=Person("always"))
    assert await run(spell) == ["a.txt", "b.txt"]


async def test_nothing_is_remembered_for_a_stranger(run, files):
    spell = read("a.txt", "a.txt")
    person = Person("always")
    assert await run(spell, trusted=False, ask=person) == ["a.txt", "a.txt"]
    assert not person.asked[0].lasting
    assert not (files / ".llmspell").exists()
    assert await run(spell, ask=Person("always")) == ["a.txt", "a.txt"]
    assert await run(spell, trusted=False) == [REFUSED] * 2


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"x": {"read": "/"}}', '{"x": {"reed": ["/"]}}', "[" * 100_000, "\udcff"]
)
async def test_a_broken_file_is_told_and_put_aside(run, files, caplog, text):
    file = files / ".llmspell" / "grants.json"
    file.parent.mkdir()
    file.write_text(text, errors="surrogateescape")
    spell = read("a.txt")
    with caplog.at_level(logging.WARNING, "llmspell"):
        assert await run(spell) == [REFUSED]
    assert "grants.json is ignored" in caplog.text
    assert await run(spell, ask=Person("always")) == ["a.txt"]
    assert await run(spell) == ["a.txt"]
    assert file.with_name("grants.broken").read_text(errors="surrogateescape") == text


async def test_a_file_without_entries_is_not_broken(run, files, caplog):
    file = files / ".llmspell" / "grants.json"
    file.parent.mkdir()
    file.write_text("{}")
    assert await run(read("a.txt"), ask=Person("always")) == ["a.txt"]
    assert [path.name for path in file.parent.iterdir()] == ["grants.json"]
    assert caplog.text == ""


async def test_what_cannot_be_kept_is_told(run, files, caplog):
    (files / ".llmspell").write_text("in the way")
    assert await run(read("a.txt"), ask=Person("always")) == ["a.txt"]
    assert "cannot be saved" in caplog.text


# What the front matter asks for

FRONT = """--- /// spell
--- [permissions]
--- read = ["data", "a.txt"]
--- env = ["HOME"]
--- ///
"""


async def test_what_a_spell_asks_for_is_one_question(run, files):
    person = Person("run")
    spell = FRONT + read("data/c.txt", "a.txt")
    options = {"grants": Grants(env=()), "denied": Grants(read=("a.txt",))}
    assert await run(spell, ask=person, **options) == ["data/c.txt", REFUSED]
    wanted = Grants(read=(str(files / "data"),))
    assert person.asked == [PermissionRequest("s.lua", None, wanted, lasting=True)]


async def test_what_was_refused_at_the_start_is_not_asked_for_again(run, files):
    person = Person("no", "run")
    assert await run(FRONT + read("data/c.txt", "a.txt", "b.txt"), ask=person) == [
        REFUSED,
        REFUSED,
        "b.txt",
    ]
    assert [question.by for question in person.asked] == [None, "read_file"]


async def test_without_anybody_to_ask_front_matter_grants_nothing(run, files):
    assert await run(FRONT + read("data/c.txt")) == [REFUSED]


async def test_nothing_is_asked_when_all_is_granted(run, files):
    options = {"grants": Grants(read=(".",), env=("HOME",)), "ask": Person()}
    assert await run(FRONT + read("data/c.txt"), **options) == ["data/c.txt"]


async def test_front_matter_that_was_granted_for_always(run, files, monkeypatch):
    spell = FRONT + read(str(files / "data" / "c.txt"))
    assert await run(spell, ask=Person("always")) == ["data/c.txt"]
    assert await run(spell, ask=Person()) == ["data/c.txt"]
    monkeypatch.chdir("/")  # paths count from where they were granted
    assert await run(spell) == ["data/c.txt"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('reed = ["x"]', "permissions.reed: unknown kind"),
        ('read = "x"', "permissions.read: must be a list of strings"),
        ("net = [1]", "permissions.net: must be a list of strings"),
        ("net = true", "permissions.net: must be a list of strings"),
        ("deny = {read = []}", "permissions.deny: unknown kind"),
        (
            'net = ["http://a.b/"]',
            "permissions.net: 'http://a.b/' is not a host such as example.com:8080 or 10.0.0.0/8",
        ),
        (
            'llm = ["gpt-5"]',
            "permissions.llm: 'gpt-5' is not a model such as openai/gpt-5.4-mini or openai/*",
        ),
    ],
)
async def test_wrong_front_matter_is_told(run, line, said):
    with pytest.raises(ConfigError) as caught:
        await run(f"--- /// spell\n--- [permissions]\n--- {line}\n--- ///\n")
    assert caught.value.path == "s.lua"
    assert caught.value.problems == [f"front matter: {said}"]


# Tools

TRY = "local ok, result = pcall({0}, {1}) return ok and result or result.hint or result.code"


async def test_trusted_code_is_for_the_users_own_spells(run):
    call = TRY.format("price", "{item = 'tea'}")
    assert await run(call) == 3.5
    assert await run(call, trusted=False) == "grant it with --allow-tool=price"
    assert await run(call, trusted=False, grants=Grants(tool=("price",))) == 3.5
    assert await run(call, trusted=False, ask=Person("once")) == 3.5


async def test_what_declares_itself_is_judged_by_that(run, files):
    assert await run("return length{text = 'tea'}", trusted=False) == 3
    assert await run(TRY.format("base64_encode", "{data = 'a'}"), trusted=False) == "YQ=="
    call = TRY.format("first_line", "{path = 'a.txt'}")
    assert await run(call, trusted=False) == "grant it with --allow-read=a.txt"
    assert await run(call, trusted=False, grants=Grants(read=())) == "a.txt"


LUA_TOOL = (
    'Tool.define{name = "twice", params = {n = "number"}, run = function(a) return a.n * 2 end}\n'
)


async def test_tools_of_a_spell_are_its_own(run):
    assert await run(LUA_TOOL + "return Tool.call('twice', {n = 2})", trusted=False) == 4


@pytest.mark.parametrize(
    ("name", "args"),
    [("length", "{text = 'tea'}"), ("price", "{item = 'x'}"), ("twice", "{n = 1}")],
)
@pytest.mark.parametrize("trusted", [True, False])
async def test_every_tool_can_be_denied_to_everybody(run, name, args, trusted):
    source = f"{LUA_TOOL} local ok, e = pcall(Tool.call, '{name}', {args}) return e.message"
    options = {"grants": Grants.all(), "denied": Grants(tool=("l*", "price", "twice"))}
    said = await run(source, trusted=trusted, **options)
    assert said == f"the spell may not call the tool {name}: it is denied"


# Models


class Models:
    """Three models of one provider, which say their name."""

    def __init__(self):
        self.provider = ScriptedProvider(["hello"] * 9)
        self.options = {"providers": [self.provider], "model": "scripted/default"}


@pytest.fixture
def models():
    return Models()


def ask_model(model=None, extra="nil"):
    named = f"model = '{model}'," if model else ""
    return f"""
        local agent = Agent.create{{{named} extra_body = {extra}}}
        local ok, result = pcall(agent.prompt, agent, "hi")
        return ok and result or result.hint or result.message
    """


async def test_the_users_own_spells_ask_any_model(run, models):
    for model in (None, "scripted/default", "scripted/other"):
        assert await run(ask_model(model), **models.options) == "hello"


async def test_a_stranger_asks_the_default_model_alone(run, models):
    for model in (None, "scripted/default"):
        assert await run(ask_model(model), trusted=False, **models.options) == "hello"
    refused = await run(ask_model("scripted/other"), trusted=False, **models.options)
    assert refused == "grant it with --allow-llm=scripted/other"
    grants = Grants(llm=("scripted/o*",))
    granted = run(ask_model("scripted/other"), trusted=False, grants=grants, **models.options)
    assert await granted == "hello"
    person = Person("once")
    assert await run(ask_model(), trusted=False, ask=person, **models.options) == "hello"
    assert person.asked == []


@pytest.mark.parametrize("field", ["model = 'other'", "models = {'default', 'other'}"])
async def test_no_model_is_asked_by_another_name(run, models, field):
    source = ask_model(extra=f"{{{field}}}")
    refused = await run(source, trusted=False, **models.options)
    assert refused == "grant it with --allow-llm=scripted/other"
    assert await run(source, **models.options) == "hello"


async def test_models_that_are_named_are_all_there_are(run, models):
    options = {"grants": Grants(llm=("scripted/other",)), **models.options}
    assert await run(ask_model("scripted/other"), **options) == "hello"
    assert await run(ask_model(), **options) == "grant it with --allow-llm=scripted/default"


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_model_can_be_denied_to_everybody(run, models, trusted):
    options = {"grants": Grants.all(), "denied": Grants(llm=("scripted/*",)), **models.options}
    said = await run(ask_model(), trusted=trusted, **options)
    assert said.startswith("--deny-llm")


# Runs within a run


async def test_a_child_is_asked_for_what_its_parent_lacks(files):
    person = Person("once", "run")

    async def ask(by, wanted):
        return await person(PermissionRequest("s.lua", by, wanted, lasting=False))

    parent = Permissions(Grants(), Grants(read=("b.txt",)), ask=ask)
    child = parent.within(Grants(read=("a.txt", "b.txt")))
    assert child.may_ask
    need = Need("read", "a.txt")
    once = await child.obtain(need, by="it")
    assert not child.allows(need)
    assert child.plus(once).allows(need)
    assert await child.obtain(need, by="it") == Grants()
    assert child.allows(need)
    for other in ("b.txt", "data"):
        with pytest.raises(PermissionDenied):
            await child.obtain(Need("read", other), by="it")
    assert len(person.asked) == 2
    assert parent.used == child.used == {Need("read", str(files / "a.txt"))}
