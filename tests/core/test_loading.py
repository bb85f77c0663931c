import shutil
import subprocess
import sys
import textwrap

import pytest

from llmspell.components import all_bridges, all_tools
from llmspell.config import Project
from llmspell.config.validation import check_settings
from llmspell.errors import PluginError
from llmspell.importing import Offer, installed
from llmspell.plugins.discovery import known_plugins
from llmspell.tools.catalogue import BUILTIN
from llmspell.tools.loading import load_module, load_reference
from llmspell.tools.registry import BuiltInTools, Tools
from llmspell.tools.tool import Tool

WEATHER = '''
from __future__ import annotations
import dataclasses
from llmspell import tool
from beside import unit

@dataclasses.dataclass
class Forecast:
    city: str

@tool
def weather(city: str) -> Forecast:
    """Weather."""
    return Forecast(city + unit)

@tool
def second(forecast: Forecast) -> None: ...

alias = weather
not_a_tool = 5
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "beside.py").write_text("unit = 'C'")
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def load(folder, source, name="weather_tools.py"):
    (folder / name).write_text(source)
    return load_module(str(folder / name))


def test_the_tools_of_a_file_in_order_each_once(folder):
    path = list(sys.path)
    tools = load(folder, WEATHER)
    assert [tool.name for tool in tools] == ["weather", "second"]
    assert tools[0]("Oslo").city == "OsloC"
    assert tools[1].bind({"forecast": {"city": "x"}})["forecast"].city == "x"
    assert sys.path == path


def test_the_tools_of_a_module(folder, monkeypatch):
    monkeypatch.syspath_prepend(folder)
    (folder / "company_tools.py").write_text(WEATHER)
    assert [tool.name for tool in load_module("company_tools")] == ["weather", "second"]


def test_a_file_may_have_the_name_of_a_module(folder):
    import json

    tools = load(folder, "from llmspell import tool\n@tool\ndef f(n: int): ...\n", "json.py")
    assert tools[0].bind({"n": 1}) == {"n": 1}
    assert sys.modules["json"] is json


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("1 +", "SyntaxError"),
        ("import no_such_module_at_all", "no_such_module_at_all"),
        ("raise RuntimeError('on purpose')", "on purpose"),
        ("import sys\nsys.exit(0)", "SystemExit: 0"),
        ("from llmspell import tool\n@tool(reads=['pth'])\ndef f(path: str): ...", "'pth'"),
        ("x = 1", "does not define a tool"),
    ],
)
def test_what_cannot_be_loaded_is_explained(folder, source, said):
    with pytest.raises(PluginError) as caught:
        load(folder, source)
    assert said in caught.value.message
    assert "weather_tools.py" in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == 2


def test_a_file_that_failed_leaves_no_half_module_behind(folder):
    with pytest.raises(PluginError):
        load(folder, "raise RuntimeError")
    assert "weather_tools" not in sys.modules
    assert load(folder, WEATHER)


@pytest.mark.parametrize("name", ["gone.py", "no_such_module_at_all", "llmspell.no_such"])
def test_what_is_not_there(folder, monkeypatch, name):
    monkeypatch.chdir(folder)
    with pytest.raises(PluginError, match=name):
        load_module(name)


@pytest.mark.parametrize(
    "reference",
    [
        "llmspell.tools.nothing:x",
        "llmspell.tools.math:x",
        "llmspell.tools.math:json",
        "llmspell.tools.math:",
        "",
        ":x",
        "math:pi",
    ],
)
def test_a_reference_to_no_tool(reference):
    with pytest.raises(PluginError):
        load_reference(reference)


def test_built_in_tools_are_a_registry():
    tools = BuiltInTools()
    assert list(tools) == sorted(BUILTIN)
    assert len(tools) == len(BUILTIN)
    assert "no_such_tool" not in tools
    for name, tool in tools.items():
        assert isinstance(tool, Tool)
        assert tool.name == name
        assert tool.description
        assert tool.category != "user"
    assert Tools(tools)["uuid"] is tools["uuid"] is tools["uuid@1"]
    assert tools.versions("uuid") == ["1"]


def test_a_built_in_tool_is_loaded_when_it_is_looked_at():
    code = """
        import sys
        from llmspell.tools.registry import Tools

        def loaded():
            return "llmspell.tools.math" in sys.modules, "llmspell.tools.text" in sys.modules

        tools = Tools.with_builtin_tools()
        assert "calculate" in tools and "calculate@1" in tools and "calculate" in list(tools)
        assert loaded() == (False, False)
        assert tools["calculate"] is tools.find("calculate")
        assert loaded() == (True, False)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


# Installed packages


@pytest.fixture
def install(tmp_path, monkeypatch):
    def install(package, entry_points):
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(entry_points)

    monkeypatch.syspath_prepend(tmp_path)
    yield install
    for name in ("rain", "snow", "sky"):
        sys.modules.pop(name, None)


def test_entry_points_of_a_group(install):
    install("spell_weather", "[llmspell.tools]\nweather = spell_weather:weather\n")
    install("other", "[llmspell.toolsets]\nx = y:z\n[console_scripts]\na = b:c\n")
    offer = Offer("weather", "spell_weather:weather", "spell_weather", "1.0")
    assert installed("llmspell.tools") == [offer]
    assert installed("llmspell.nothing") == []


def test_odd_places_on_the_path(install, tmp_path, monkeypatch):
    file = tmp_path / "archive.zip"
    file.write_text("no folder")
    for place in (file, tmp_path / "gone", ""):
        monkeypatch.syspath_prepend(str(place))
    install("spell_weather", "[llmspell.tools]\nweather = a:b\n")
    assert [offer.reference for offer in installed("llmspell.tools")] == ["a:b"]


def test_packages_may_call_what_they_offer_alike(install, tmp_path):
    for package in ("rain", "snow"):
        install(package, f"[llmspell.tools]\nweather = {package}:{package}\n")
        code = f"from llmspell import tool\n@tool\ndef {package}() -> str:\n    'W.'\n"
        (tmp_path / f"{package}.py").write_text(code)
    tools = all_tools(Project(tmp_path), ())
    assert {"rain", "snow"} <= set(tools)


def test_of_two_copies_of_a_package_the_first_counts(install, tmp_path, monkeypatch):
    install("rain", "[llmspell.tools]\nold = a:b\n")
    (tmp_path / "newer").mkdir()
    shutil.copytree(tmp_path / "rain-1.0.dist-info", tmp_path / "newer" / "rain-1.0.dist-info")
    monkeypatch.syspath_prepend(tmp_path / "newer")
    file = tmp_path / "newer" / "rain-1.0.dist-info" / "entry_points.txt"
    file.write_text("[llmspell.tools]\nnew = a:b\n")
    assert [offer.name for offer in installed("llmspell.tools")] == ["new"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import no_such_module_here", "No module named 'no_such_module_here'"),
        ("raise OSError('no sky')", "OSError: no sky"),
        ("sky = 5", "sky:sky is no"),
        ("", "module 'sky' has no attribute 'sky'"),
    ],
)
@pytest.mark.parametrize("kind", ["tool", "bridge"])
def test_what_a_package_offers_in_vain_names_the_package(install, tmp_path, code, said, kind):
    install("rain", f"[llmspell.{kind}s]\nweather = sky:sky\n")
    (tmp_path / "sky.py").write_text(code)
    make = {"tool": lambda: all_tools(Project(tmp_path), ()), "bridge": lambda: all_bridges(())}
    with pytest.raises(PluginError, match=said) as caught:
        make[kind]()
    assert caught.value.hint.startswith("fix or uninstall rain, which provides it")


def test_entry_points_that_cannot_be_read_name_the_package(install):
    install("rain", "[llmspell.tools]\nweather\n")
    install("other", "[console_scripts]\nweather\n")
    with pytest.raises(PluginError, match=r"entry_points\.txt of the package rain cannot be read"):
        installed("llmspell.tools")


def test_a_plugin_that_two_packages_offer_is_not_guessed(install, tmp_path):
    for package in ("rain", "snow"):
        install(package, f"[llmspell.plugins]\nweather = {package}:W\n")
    project = Project(tmp_path, check_settings({"plugins": [{"name": "weather"}]}, "x"))
    (known,) = known_plugins(project)
    assert known.standing == "broken"
    assert known.package is None
    assert "several packages have a plugin named 'weather':" in known.error.message
    assert '"rain:W"' in known.error.hint
    assert '"snow:W"' in known.error.hint
