"""Pytest plugin: fixtures, and collection of Lua tests.

With `llmspell_lua = true` in pytest's settings, each test in files named `…_test.lua` is collected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from llmspell.providers.scripted import Reply, ScriptedProvider
    from llmspell.testing.fakes import FakeServer
    from llmspell.testing.spell_runs import SpellRun

T = TypeVar("T")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("llmspell_lua", "Collect the tests of files …_test.lua.", "bool", default=False)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.name.endswith("_test.lua") and parent.config.getini("llmspell_lua"):
        from llmspell.testing.pytest_lua import LuaFile

        file: pytest.Collector = LuaFile.from_parent(parent, path=file_path)
        return file
    return None


@pytest.fixture
def virtual_time() -> Callable[[Coroutine[Any, Any, T]], T]:
    """Runs a coroutine in an event loop where waiting takes no time: `virtual_time(main())`."""
    from llmspell.testing.virtual_time import run

    return run


@pytest.fixture
def spell_runtime() -> Any:
    """`llmspell.testing.stage`: a runtime with a scripted model, as an async context manager."""
    from llmspell.testing.spell_runs import stage

    return stage


@pytest.fixture
def run_spell() -> Callable[..., SpellRun]:
    """Runs a spell in virtual time: see `llmspell.testing.run_spell`.

    It is synchronous, so that tests need no plugin for async tests.
    """
    from llmspell.testing import spell_runs, virtual_time

    def run(spell: Any, **options: Any) -> SpellRun:
        start = options.pop("start", None)
        return virtual_time.run(spell_runs.run_spell(spell, **options), start=start)

    return run


@pytest.fixture
def scripted_model() -> Callable[..., ScriptedProvider]:
    """Creates scripted models: `scripted_model("Hello.", …)`.

    A model's `remaining` is the number of unused replies.
    """
    from llmspell.providers.scripted import ScriptedProvider

    def make(*replies: Reply, name: str = "scripted") -> ScriptedProvider:
        return ScriptedProvider(replies, name=name)

    return make


@pytest.fixture
def fake_server() -> Iterator[Callable[..., FakeServer]]:
    """Starts local servers that speak the protocols of models: `fake_server(["Hello."]).url`.

    See `llmspell.testing.FakeServer`. They stop at the end of the test.
    """
    from llmspell.testing.fakes import FakeServer

    with ExitStack() as stack:

        def start(script: Any = "Hello.", **options: Any) -> FakeServer:
            return stack.enter_context(FakeServer(script, **options))

        yield start


@pytest.fixture
def fake_openai(
    fake_server: Callable[..., FakeServer], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., FakeServer]:
    """Starts a fake server in place of OpenAI: `fake_openai(["Hello."])`.

    Runtimes created in the test use it for `openai/…`; `run_spell` and `stage` do with
    `script=None`. The API key is a dummy.
    """

    def start(script: Iterable[Any] = ("Hello.",), **options: Any) -> FakeServer:
        server = fake_server(script, **options)
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-fake")
        return server

    return start
