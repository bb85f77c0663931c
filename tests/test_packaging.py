"""What a user installs: a wheel made from the source distribution, in a clean environment."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = {"llmspell": "llmspell", "bridges": "llmspell/bridges", "spells": "llmspell/spells"}
NOT_SOURCE = shutil.ignore_patterns(
    ".*", "*.egg-info", "__pycache__", "node_modules", "build", "dist"
)


@pytest.fixture(scope="module")
def environ():
    """Nothing of the environment this test runs in reaches the clean one."""
    own = ("PYTHON", "VIRTUAL_ENV", "COV_")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)}


@pytest.fixture(scope="module")
def distributions(tmp_path_factory, environ):
    """The source distribution, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("packaging")
    shutil.copytree(ROOT, folder / "source", ignore=NOT_SOURCE)
    run(sys.executable, "-m", "build", "--outdir", folder, folder / "source", env=environ)
    [sdist], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def installed(distributions, tmp_path_factory, environ):
    """Run a command of a clean environment in which the wheel is installed, somewhere else."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / "bin"
    run(programs / "pip", "install", "--quiet", f"{distributions[1]}[local]", env=environ)
    (folder / "elsewhere").mkdir()

    def command(program, *arguments, check=True):
        return run(
            programs / program, *arguments, check=check, cwd=folder / "elsewhere", env=environ
        )

    return command


def run(*command, check=True, **options):
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, check=False, text=True, **options
    )
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done


def files_of_the_package():
    """Every file of the package's folders, under the name it has when it is installed."""
    found = set()
    for folder, place in FOLDERS.items():
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                found.add(f"{place}/{path.relative_to(ROOT / folder)}")
    return found


def test_the_wheel_holds_the_package_and_nothing_else(distributions):
    with zipfile.ZipFile(distributions[1]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        [metadata] = [n for n in wheel.namelist() if n.endswith(".dist-info/METADATA")]
        about = wheel.read(metadata).decode()
    assert names == files_of_the_package()
    for kind in ("llmspell/py.typed", r"llmspell/lua/.*\.lua", r"llmspell/spells/.*\.lua"):
        assert any(re.fullmatch(kind, name) for name in names), kind
    for kind in (r"llmspell/bridges/\w+/\w+\.lua", r".*\.jinja"):
        assert any(re.fullmatch(kind, name) for name in names), kind
    assert "License-Expression: MIT\n" in about
    assert "Provides-Extra: local\n" in about
    assert "Provides-Extra: yaml\n" in about


def test_the_source_distribution_can_be_built_from(distributions):
    with tarfile.open(distributions[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "LICENSE", "README.md", "bridges/state/state.lua"} <= names
    assert not any(name.startswith((".", "node_modules", "benchmarks")) for name in names)


def test_the_command_line(installed):
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", installed("llmspell", "version").stdout)
    assert "  counter " in installed("llmspell", "spells").stdout
    assert "  read_file " in installed("llmspell", "tools").stdout
    counted = [installed("llmspell", "run", "counter").stdout for _ in range(2)]
    assert counted == ["counted to 1\n", "counted to 2\n"]


def test_every_bridge_of_ours_is_there(installed):
    lua = "assert(JSON and Task and State and Agent and Hook and Tool) return JSON.encode{1}"
    assert installed("llmspell", "exec", lua).stdout == "[1]\n"
    program = (
        "from llmspell.bridge import BUILT_IN, Bridges; print(len(Bridges([])) == len(BUILT_IN))"
    )
    assert installed("python", "-c", program).stdout == "True\n"


def test_a_spell_on_the_embedded_model(installed):
    done = installed("llmspell", "run", "hello", "--model", "local/smollm2")
    assert re.search(r"^  model   \S", done.stdout, re.MULTILINE)
    assert "visit number 1, " in done.stdout
    assert done.stdout.endswith("with local/smollm2\n")


PROGRAM = """\
import asyncio

from llmspell import Runtime, tool


@tool
def add(a: int, b: int) -> int:
    return a + b


async def main() -> None:
    async with Runtime(tools=[add]) as runtime:
        print(await runtime.execute("return add{a = 1, b = 2}"))


asyncio.run(main())
"""


def test_a_program_of_a_user(installed, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    assert installed("python", program).stdout == "3\n"


def test_a_type_checker_sees_the_types(installed, tmp_path, environ):
    program = tmp_path / "program.py"
    program.write_text(f"{PROGRAM}\nRuntime(model=1)\nadd(1, 'two')\n")
    python = installed("python", "-c", "import sys; print(sys.executable)").stdout.strip()
    cache = ROOT / ".mypy_cache" / "packaging"
    options = ("--strict", "--cache-dir", cache, "--python-executable", python)
    # Not from here, where it would find the source instead of what is installed.
    command = (sys.executable, "-m", "mypy", *options, program)
    done = run(*command, check=False, cwd=tmp_path, env=environ)
    lines = done.stdout.splitlines()
    assert [line.rpartition("[")[2] for line in lines[:-1]] == ["arg-type]", "arg-type]"], lines
