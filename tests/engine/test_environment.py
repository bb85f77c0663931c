import os

import pytest

from llmspell import Grants, Runtime
from llmspell.config import Project, Settings
from llmspell.errors import InvalidArguments, PermissionDenied, SpellRuntimeError
from llmspell.providers.catalogue import CATALOGUE
from llmspell.providers.settings import ProviderSettings
from llmspell.state import MemoryStore

pytestmark = pytest.mark.anyio


async def test_a_variable_that_is_granted(lua, monkeypatch):
    monkeypatch.setenv("NICKNAME", "Ada")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("UNSET", raising=False)
    code = 'return {os.getenv("NICKNAME"), os.getenv("EMPTY"), tostring(os.getenv("UNSET"))}'
    assert await lua(code, grants=Grants(env=("NICKNAME", "EMPTY", "UNSET"))) == ["Ada", "", "nil"]
    assert await lua(code, grants=Grants(env=())) == ["Ada", "", "nil"]


async def test_a_value_that_is_no_text(lua, monkeypatch):
    monkeypatch.setitem(os.environb, b"RAW", b"a\xff")
    assert await lua(
        'return {#os.getenv("RAW"), os.getenv("RAW"):byte(2)}', grants=Grants(env=())
    ) == [
        2,
        255,
    ]


async def test_a_variable_that_is_not_granted(lua, monkeypatch):
    monkeypatch.setenv("NICKNAME", "Ada")
    for grants in (None, Grants(env=("NICK", "HOME"))):
        with pytest.raises(SpellRuntimeError, match=r"os\.getenv may not .*NICKNAME") as caught:
            await lua('\nlocal name = os.getenv("NICKNAME")', grants=grants)
        assert isinstance(caught.value.cause, PermissionDenied)
        assert "--allow-env=NICKNAME" in caught.value.cause.hint
        assert caught.value.where == "test.lua:2"
        assert "Ada" not in str(caught.value.cause.as_table())


async def test_whether_it_is_set_is_not_told_either(lua, monkeypatch):
    monkeypatch.delenv("UNSET", raising=False)
    assert await lua('return select(2, try(os.getenv, "UNSET")).code') == "permission_denied"


@pytest.mark.parametrize("name", sorted({key for p in CATALOGUE.values() for key in p.keys}))
async def test_a_providers_key_is_never_given(lua, monkeypatch, name):
    monkeypatch.setenv(name, "sk-secret")
    with pytest.raises(SpellRuntimeError, match="it contains a provider's key") as caught:
        await lua(f"return os.getenv('{name}')", grants=Grants.all())
    assert isinstance(caught.value.cause, PermissionDenied)
    assert "--allow" not in caught.value.cause.hint


async def test_the_key_of_a_provider_of_the_project_is_never_given(tmp_path, monkeypatch):
    monkeypatch.setenv("TEA_KEY", "sk-secret")
    providers = {
        "tea": ProviderSettings(base_url="http://127.0.0.1:1", api_key_env="TEA_KEY"),
        "cake": ProviderSettings(base_url="http://127.0.0.1:1"),
    }
    project = Project(tmp_path, Settings(providers=providers))
    async with Runtime(project=project, store=MemoryStore(), grants=Grants.all()) as runtime:
        with pytest.raises(SpellRuntimeError, match="TEA_KEY: it contains a provider's key"):
            await runtime.execute('return os.getenv("TEA_KEY")')


async def test_a_hook_cannot_slip_a_key_in(lua, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with pytest.raises(SpellRuntimeError, match="it contains a provider's key"):
        await lua(
            """
            Hook.before("environment.get", function(call)
              return Hook.modify({name = "OPENAI_API_KEY"})
            end)
            return os.getenv("HOME")
            """,
            grants=Grants.all(),
        )


@pytest.mark.parametrize("argument", ["", "{}", "nil"])
async def test_wrong_names(lua, argument):
    with pytest.raises(SpellRuntimeError) as caught:
        await lua(f"return os.getenv({argument})", grants=Grants.all())
    assert isinstance(caught.value.cause, InvalidArguments)


@pytest.mark.parametrize("name", ["", "A=B", r"A\0B", "ключ"])
async def test_names_no_variable_has(lua, name):
    assert await lua(f'return os.getenv("{name}")', grants=Grants.all()) is None
