"""The checks of `llmspell doctor`. Each returns findings and changes nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

from llmspell.cli.output import size
from llmspell.config import Project, find_project
from llmspell.errors import ConfigError, LlmspellError, ProviderError
from llmspell.providers.catalogue import CATALOGUE
from llmspell.providers.default_model import EMBEDDED, Choice
from llmspell.providers.endpoints import endpoint
from llmspell.providers.provider import ModelName
from llmspell.runtime import Runtime
from llmspell.suggestions import did_you_mean

SECONDS = 5.0
"""Timeout of the request to the model's server."""

_NO_LIST = range(400, 500)  # statuses of a server that runs but has no list at /models
_REFUSED = (401, 403)


class Finding(NamedTuple):
    """One line of the report.

    Attributes:
        subject: What was checked.
        standing: "problem" for what prevents spells, or those that call models, from running.
        text: The finding.
        hint: What to do about it.
    """

    subject: str
    standing: Literal["ok", "warning", "problem"]
    text: str
    hint: str | None = None


async def examine(*, offline: bool) -> list[Finding]:
    """Run all checks; with `offline`, without contacting the model's server."""
    found = [*_versions(), *_isolation()]
    try:
        project = find_project()
        runtime = Runtime(project=project)
    except LlmspellError as error:
        return [*found, _problem("project", error)]
    settings = "settings in llmspell.toml" if project.file else "no llmspell.toml"
    found.append(Finding("project", "ok", f"{project.root}, {settings}"))
    found.append(Finding("tools", "ok", f"{len(runtime.tools)} available"))
    found += _names(runtime)
    found += _plugins(project)
    found.append(await _state(project))
    found += _keys(project)
    try:
        choice = await runtime.models.default()
    except LlmspellError as error:
        return [*found, _problem("model", error)]
    found.append(Finding("model", "ok", choice.reason))
    try:
        found.append(await _answers(choice, project, offline=offline))
    except LlmspellError as error:
        found.append(_problem("answers", error))
    return found


def _problem(subject: str, error: LlmspellError) -> Finding:
    place = f"{error.where}: " if error.where else ""
    return Finding(subject, "problem", f"{place}{error.message}", error.hint)


def _versions() -> Iterator[Finding]:
    from importlib.metadata import version

    from llmspell.lua.image import lua_version

    yield Finding("llmspell", "ok", version("llmspell"))
    yield Finding("python", "ok", f"{'.'.join(map(str, sys.version_info[:3]))}, {sys.executable}")
    yield Finding("lua", "ok", f"{lua_version()}, lupa {version('lupa')}")


def _isolation() -> Iterator[Finding]:
    from llmspell.isolation.confinement import available

    measures = available()
    filtered = any(measure.name == "seccomp" and measure.available for measure in measures)
    for name, here, note in measures:
        fine = here or (name == "namespace" and filtered)  # seccomp makes the namespace unnecessary
        yield Finding("isolation", "ok" if fine else "warning", f"{name}: {note}")


def _names(runtime: Runtime) -> Iterator[Finding]:
    """Check the names of effects and models, unless plugins that are not started may add some."""
    if any(plugin.enabled for plugin in runtime.project.settings.plugins):
        return
    try:
        runtime.check()
    except ConfigError as error:
        yield _problem("settings", error)


def _plugins(project: Project) -> Iterator[Finding]:
    """Check whether the enabled plugins can be loaded, without starting them."""
    if not project.settings.plugins:
        return
    from llmspell.plugins.discovery import known_plugins

    wanted = [one for one in known_plugins(project) if one.listed and one.entry.enabled]
    for one in wanted:
        if one.error:
            fatal = one.entry.required or isinstance(one.error, ConfigError)
            text = f"{one.name}: {one.error.message}"
            yield Finding("plugins", "problem" if fatal else "warning", text, one.error.hint)
    fine = [one.name for one in wanted if not one.error]
    yield Finding("plugins", "ok", ", ".join(fine) or "none found that can be started")


async def _state(project: Project) -> Finding:
    file = project.state_file
    backend = project.settings.state.backend
    if backend != "sqlite":
        of_plugin = f"kept by {backend}, if a plugin provides it"
        text = "kept in memory, during one run" if backend == "memory" else of_plugin
        return Finding("state", "ok", text)
    hint = "check the folder's permissions, or run with --state memory"
    if not file.exists():
        folder = next(folder for folder in file.parents if folder.exists())
        if os.access(folder, os.W_OK | os.X_OK):
            return Finding("state", "ok", f"{file}, created on first use")
        return Finding("state", "warning", f"{file} cannot be created: {folder} is read-only", hint)
    from llmspell.state import SqliteStore

    store = SqliteStore(file)
    try:
        await store.keys("doctor")
    except LlmspellError as error:
        return _problem("state", error)
    finally:
        await store.close()
    if not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)):
        return Finding("state", "warning", f"{file} is read-only", hint)
    return Finding("state", "ok", str(file))


def _keys(project: Project) -> Iterator[Finding]:
    """Report which variables with keys are set, without looking at their values."""
    providers = project.settings.providers
    present = []
    for name in dict.fromkeys([*providers, *CATALOGUE]):
        try:
            place = endpoint(name, providers, os.environ)
        except ConfigError as error:
            if name in providers or any(key in os.environ for key in CATALOGUE[name].keys):
                yield Finding("keys", "warning", error.message, error.hint)
            continue
        if place.key:
            present.append(f"{place.key_env}")
        elif name in providers and place.key_env:
            hint = f"set the environment variable {place.key_env}"
            yield Finding("keys", "warning", f"[providers.{name}] has no key", hint)
    yield Finding("keys", "ok", ", ".join(dict.fromkeys(present)) or "none is set")


async def _answers(choice: Choice, project: Project, *, offline: bool) -> Finding:
    """Check whether the default model could answer."""
    name = ModelName.parse(choice.model)
    if name.provider == "local":
        return _embedded(name, chosen=project.settings.model is None)
    place = endpoint(name.provider, project.settings.providers, os.environ)
    if offline:
        return Finding("answers", "ok", f"{place.base_url} was not contacted")
    import anyio

    from llmspell.providers.openai_chat import OpenAIChat

    server = OpenAIChat(replace(place, timeout=SECONDS), max_retries=0)
    try:
        with anyio.fail_after(SECONDS):
            models = await server.list_models()
    except TimeoutError:
        text = f"{place.base_url} does not answer within {SECONDS:g} seconds"
        return Finding("answers", "problem", text, "check the network")
    except ProviderError as error:
        if error.status not in _NO_LIST or error.status in _REFUSED:
            raise
        return Finding("answers", "ok", f"{place.base_url}, which does not list its models")
    finally:
        await server.close()
    return _listed(name, models, place.base_url)


def _listed(name: ModelName, models: list[str], base_url: str) -> Finding:
    if not models or name.model in models or f"{name.model}:latest" in models:
        return Finding("answers", "ok", base_url)
    hint = did_you_mean(name.model, models, most=3, otherwise=f"see {base_url}/models")
    return Finding("answers", "warning", f"{base_url} does not list {name.model}", hint)


def _embedded(name: ModelName, *, chosen: bool) -> Finding:
    """Check whether the embedded model can run; `chosen` if it is only the default."""
    from llmspell.providers.local_models import local_model

    if find_spec("xllamacpp") is None:
        hint = "set a provider's key, such as OPENAI_API_KEY, or: pip install 'llmspell[local]'"
        standing: Literal["warning", "problem"] = "warning" if chosen else "problem"
        return Finding("answers", standing, f"{EMBEDDED} needs the extra local", hint)
    kept = local_model(name.model)
    file = kept.file if kept else Path(name.model).expanduser()
    if file.is_file():
        return Finding("answers", "ok", f"{file}, runs on this machine")
    if kept:
        text = f"{size(kept.download or 0)} will be downloaded to {file.parent} on first use"
        return Finding("answers", "ok", text)
    return Finding("answers", "problem", f"no model file {file}", "check its path")
