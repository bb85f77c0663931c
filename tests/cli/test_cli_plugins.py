"""`llmspell plugins` and `llmspell config`, and plugins and middleware of a file in a run."""

import json
import tomllib

import pytest

from llmspell.config.validation import check_settings

SHOP = '''
from pydantic import BaseModel, SecretStr

from llmspell import Plugin


class Settings(BaseModel):
    city: str = "Oslo"
    pin: SecretStr = SecretStr("")
    api_token: str = ""
    nested: dict[str, str] = {}


class Shop(Plugin):
    """Sells tea.

    At any hour.
    """

    name = "shop"
    settings_model = Settings

    async def on_startup(self, runtime):
        if self.settings.city == "nowhere":
            raise OSError("no such city")

    async def on_shutdown(self):
        print("shop closed", flush=True)

    def tools(self):
        def buy(what: str) -> str:
            """Buy something."""
            return f"{what} from {self.settings.city}"

        return [buy]


async def shout(effect, call_next):
    result = await call_next(effect)
    return result.upper() if isinstance(result, str) else result
'''

LISTED = '[[plugins]]\nmodule = "shop.py:Shop"\n'


@pytest.fixture
def settings(write):
    write("shop.py", SHOP)
    return lambda text: write("llmspell.toml", text)


def test_a_plugin_of_a_file_is_used_and_stopped(llmspell, settings):
    settings(f'{LISTED}settings = {{city = "Bergen"}}\n')
    done = llmspell("exec", "print(buy{what = 'tea'})")
    assert (done.code, done.err) == (0, "")
    assert done.out == "tea from Bergen\nshop closed\n"
    failed = llmspell("exec", "error('x')")
    assert (failed.code, failed.out) == (1, "shop closed\n")


def test_two_of_one_name_are_listed_as_broken_until_one_is_disabled(llmspell, settings):
    settings(LISTED * 2)
    assert llmspell("exec", "return 1").code == 2
    listed = llmspell("plugins", "list").out.splitlines()
    assert [line.split()[:2] for line in listed[:2]] == [["shop", "broken"]] * 2
    assert "plugins.shop: two plugins have that name" in listed[0]
    assert "two plugins have that name" in llmspell("doctor", "--offline").out
    settings(f"{LISTED}enabled = false\n{LISTED}")
    assert llmspell("exec", "return 1").code == 0
    listed = llmspell("plugins", "list").out.splitlines()
    assert [line.split()[:2] for line in listed[:2]] == [["shop", "disabled"], ["shop", "enabled"]]


def test_one_that_fails_is_reported_and_the_run_goes_on(llmspell, settings):
    settings(f'{LISTED}settings = {{city = "nowhere"}}\n')
    done = llmspell("exec", "return buy == nil")
    assert (done.code, done.out) == (0, "true\n")
    assert done.err.startswith("warning: plugin 'shop' did not start and is skipped: OSError: no")
    assert "enabled = false" in done.err
    settings(f'{LISTED}settings = {{city = "nowhere"}}\nrequired = true\n')
    done = llmspell("exec", "return 1")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: plugin 'shop' did not start: OSError: no such city")


def test_middleware_of_the_settings(llmspell, settings):
    settings(
        '[[middleware]]\nmodule = "shop.py:shout"\neffects = ["tool.*"]\n'
        '[[middleware]]\nname = "logging"\neffects = ["tool.*"]\n'
        '[[middleware]]\nname = "metrics"\n'
    )
    done = llmspell(
        "exec", "-v", "State.set('a', 'b') return State.get('a') .. url_encode{text='c'}"
    )
    assert done.out == "bC\n"
    assert " tool.call took " in done.err
    assert "info: state.set: 1, mean " in done.err
    assert llmspell("exec", "return 1").err == ""
    settings('[[middleware]]\nname = "logging"\nafter = "tracing"\n')
    done = llmspell("exec", "return 1")
    assert done.code == 2
    said = "llmspell.toml: middleware 'logging' is placed before or after 'tracing', which does not exist"
    assert said in done.err


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (
            'name = "retry"\neffects = ["tool.*", ""]',
            "hooks.retry.effects: '' matches no effect",
        ),
        (
            'name = "logging"\neffects = ["human.approve"]',
            "hooks.logging.effects: human.approve has no hooks: a person answers for themselves",
        ),
        (
            'module = "odd.py:Odd"',
            "odd.py:Odd.settings: RuntimeError: no such luck",
        ),
    ],
)
def test_a_hook_that_cannot_be_made_names_the_file_and_key(llmspell, settings, write, entry, said):
    write(
        "odd.py",
        "from llmspell import Hook\n"
        "class Odd(Hook):\n"
        "    def __init__(self):\n"
        "        raise RuntimeError('no such luck')\n",
    )
    settings(f"[[hooks]]\n{entry}\n")
    done = llmspell("exec", "return 1")
    assert done.code == 2
    assert "llmspell.toml: " in done.err
    assert said in done.err


def test_the_list_of_plugins(llmspell, settings):
    settings(
        f'{LISTED}enabled = false\n[[plugins]]\nname = "gone"\npriority = 3\n'
        '[[plugins]]\nmodule = "shop.py:Shop"\nname = "more"\nsettings = {town = 1}\n'
    )
    assert llmspell("plugins", "list").out.splitlines() == [
        "gone  broken      no plugin named 'gone' is installed",
        "shop  disabled    Sells tea.",
        f"more  broken      {settings('').parent}/llmspell.toml: plugins.more.settings.town is not a setting",
    ]


def test_a_plugin_in_full(llmspell, settings):
    settings(f"{LISTED}priority = 2\nrequired = true\n")
    done = llmspell("plugins", "info", "shop")
    place = settings(LISTED).parent
    assert done.out.splitlines() == [
        "shop",
        "Sells tea.",
        "",
        "At any hour.",
        "",
        "standing: enabled",
        "priority: 2, required",
        f"from:     {place}/shop.py:Shop",
        "brings:   tools",
        "",
        "settings",
        '  city  string, default: "Oslo"',
        '  pin  string, default: ""',
        '  api_token  string, default: ""',
        "  nested  object, default: {}",
    ]
    info = json.loads(llmspell("plugins", "info", "shop", "--json").out)
    assert info["schema"]["properties"]["city"]["default"] == "Oslo"
    unknown = llmspell("plugins", "info", "shp")
    assert unknown.code == 2
    assert "error: no plugin named 'shp'\nhint: did you mean shop?" in unknown.err


SECRETIVE = """
model = "a/b"

[providers.work]
base_url = "https://ada:hunter2@example.com/v1"
headers = { "X-Pass" = "hunter2" }
query = { pass = "hunter2" }
extra_body = { deep = { pass = "hunter2" } }

[permissions]
read = ["*"]

[[middleware]]
name = "metrics"

[[plugins]]
module = "shop.py:Shop"
settings = { pin = "hunter2", api_token = "hunter2", nested = { password = "hunter2", a = "tea" } }

[[plugins]]
name = "gone"
settings = { harmless = "hunter2" }
"""


def test_the_settings_that_hold_are_shown_without_secrets(llmspell, settings):
    settings(SECRETIVE)
    done = llmspell("config", "show")
    assert (done.code, done.err) == (0, "")
    assert "hunter2" not in done.out
    lines = done.out.splitlines()
    for line in (
        'model = "a/b"',
        "# isolate is not set",
        'state.backend = "sqlite"',
        'permissions.read = ["*"]',
        "permissions.write = []",
        'providers.work.headers.X-Pass = "[redacted]"',
        'settings.city = "Oslo"',
        'settings.pin = "[redacted]"',
        'settings.nested.a = "tea"',
        'settings.harmless = "[redacted]"',
    ):
        assert line in lines
    shown = check_settings(tomllib.loads(done.out), "shown")
    assert shown.limits == check_settings({}, "x").limits
    assert shown.permissions.read == ()
    as_json = llmspell("config", "show", "--json").out
    assert "hunter2" not in as_json
    assert json.loads(as_json)["plugins"][0]["settings"]["city"] == "Oslo"


def test_without_a_file_the_defaults_are_shown(llmspell, project):
    done = llmspell("config", "show")
    assert done.out.startswith(f"# {project}, without a settings file\n")
    assert check_settings(tomllib.loads(done.out), "shown") == check_settings({}, "x")


def test_the_schema_knows_the_plugins_of_the_project(llmspell, settings):
    import jsonschema

    settings(LISTED)
    schema = json.loads(llmspell("config", "schema").out)
    check = jsonschema.Draft202012Validator(schema)
    check.check_schema(schema)
    good = {"name": "shop", "settings": {"city": "Oslo"}}
    assert check.is_valid(json.loads(llmspell("config", "show", "--json").out))
    assert check.is_valid({"plugins": [good], "limits": {"memory": "64MiB", "time": 0.5}})
    assert check.is_valid({"$schema": "schema.json", "plugins": [good]})
    for bad in ({"plugins": [good | {"settings": {"town": "Oslo"}}]}, {"limits": {"memory": -1}}):
        assert not check.is_valid(bad)
    assert schema["properties"]["model"]["description"].startswith("Model of agents")


def test_settings_that_no_schema_can_tell_of_may_be_anything(llmspell, settings, write):
    write(
        "odd.py",
        "from collections.abc import Callable\n"
        "from pydantic import BaseModel\n"
        "from llmspell import Plugin\n"
        "class Settings(BaseModel):\n"
        "    call: Callable[[], int] = lambda: 1\n"
        "    size: int = 1\n"
        "class Odd(Plugin):\n"
        "    name = 'odd'\n"
        "    settings_model = Settings\n",
    )
    settings('[[plugins]]\nmodule = "odd.py:Odd"\n')
    assert "size  integer" in llmspell("plugins", "info", "odd").out
    done = llmspell("config", "schema")
    assert done.err == ""
    (named,) = json.loads(done.out)["$defs"]["PluginSettings"]["allOf"]
    properties = named["then"]["properties"]["settings"]["properties"]
    assert properties["size"]["type"] == "integer"
    assert properties["call"].keys() <= {"title"}


def test_doctor_looks_at_plugins(llmspell, settings):
    settings(f'{LISTED}[[plugins]]\nname = "gone"\n[[plugins]]\nname = "lost"\nrequired = true\n')
    found = llmspell("doctor", "--offline").out
    assert "ok       plugins    shop" in found
    assert "warning  plugins    gone: no plugin named 'gone' is installed" in found
    assert "problem  plugins    lost: no plugin named 'lost' is installed" in found


def test_ctrl_c_stops_plugins_too(started, settings, seconds_to_end):
    settings(LISTED)
    with started("exec", "print('begun') Task.sleep(30)") as process:
        assert process.stdout.readline() == b"begun\n"
        assert seconds_to_end(process) < 5
        assert process.stdout.read() == b"shop closed\n"
    assert process.returncode == 130
