"""Starts the plugins of a runtime, and stops them in reverse order."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from llmspell.concurrency import Answer, as_failure, settled
from llmspell.config import PluginSettings
from llmspell.errors import LlmspellError, PluginError
from llmspell.importing import place_of
from llmspell.middleware.lifecycle import open_middleware
from llmspell.plugins.loading import make_plugin, same_name
from llmspell.plugins.plugin import Plugin
from llmspell.plugins.registration import Registries, register_contributions

if TYPE_CHECKING:
    from llmspell.runtime import Runtime

log = logging.getLogger("llmspell.plugins")

GRACE = 0.5
"""Seconds that a plugin which is cancelled at its timeout has before it is said to block."""


class PluginSpec(NamedTuple):
    """A plugin to start, and its entry in the settings."""

    entry: PluginSettings
    plugin: Plugin

    @property
    def name(self) -> str:
        return self.entry.name or self.plugin.name


async def start_plugins(
    runtime: Runtime,
    registries: Registries,
    given: Iterable[Plugin],
    cleanup: AsyncExitStack,
) -> dict[str, Plugin]:
    """Start the plugins passed in Python, all of which must start, and those of the settings.

    All settings are checked before the first plugin starts. A plugin that fails is reported and
    left out.

    Args:
        runtime: The runtime that they belong to.
        registries: The registries they contribute to.
        given: The plugins passed in Python.
        cleanup: Receives the callbacks that stop them.

    Returns:
        The plugins that were started, by name, in that order.

    Raises:
        ConfigError: The settings of a plugin are invalid, or two plugins have the same name.
        PluginError: A required plugin failed, or an object passed in is not a plugin.
    """
    handed = _handed_over(given)
    started: dict[str, Plugin] = {}
    for wanted in [*handed, *_load(runtime, {one.name for one in handed})]:
        try:
            await _start(wanted, runtime, registries, cleanup)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may raise anything
            _report(runtime, wanted.name, wanted.entry, error)
        else:
            started[wanted.name] = wanted.plugin
    return started


def _handed_over(given: Iterable[Plugin]) -> list[PluginSpec]:
    """Return the plugins passed in Python, with unique names. Raises PluginError."""
    specs: dict[str, PluginSpec] = {}
    for plugin in given:
        name = getattr(plugin, "name", None)
        if not (isinstance(plugin, Plugin) and isinstance(name, str) and name):
            hint = "pass an instance of a subclass of Plugin that has a name"
            raise PluginError(f"{plugin!r} is not a plugin", hint=hint)
        if name in specs:
            raise PluginError(f"two plugins are named {name!r}")
        specs[name] = PluginSpec(PluginSettings(name, required=True), plugin)
    return list(specs.values())


def _load(runtime: Runtime, taken: set[str]) -> list[PluginSpec]:
    """Return the enabled plugins of the settings that can be loaded, in start order."""
    project = runtime.project
    source = str(project.file or project.root)
    entries = sorted(project.settings.plugins, key=lambda entry: -entry.priority)
    specs: list[PluginSpec] = []
    for entry in entries:
        if not entry.enabled:
            continue
        try:
            wanted = PluginSpec(entry, make_plugin(entry, source))
        except PluginError as error:
            _report(runtime, entry.name or str(entry.module), entry, error)
            continue
        if wanted.name in taken:
            raise same_name(wanted.name, source)
        taken.add(wanted.name)
        specs.append(wanted)
    return specs


async def _start(
    wanted: PluginSpec, runtime: Runtime, registries: Registries, cleanup: AsyncExitStack
) -> None:
    from anyio import CancelScope, current_time

    timeout = wanted.entry.timeout
    with (
        _warning_if_blocking("start-up", wanted),
        CancelScope(deadline=current_time() + timeout) as scope,
        _cancelled_from_outside(),
    ):
        answer: Answer[None] = wanted.plugin.on_startup(runtime)
        await settled(answer)
    if scope.cancelled_caught:
        raise PluginError(f"its start-up took more than {timeout:g} seconds")
    async with AsyncExitStack() as begun:
        begun.push_async_callback(_stop, wanted, runtime)
        register_contributions(
            wanted.plugin, registries, lambda brought: open_middleware(brought, runtime, begun)
        )
        cleanup.push_async_exit(begun.pop_all())


async def _stop(wanted: PluginSpec, runtime: Runtime) -> None:
    """Shut a plugin down, even while the runtime is being cancelled."""
    from anyio import move_on_after

    try:
        with (
            _warning_if_blocking("shut-down", wanted),
            move_on_after(wanted.entry.timeout, shield=True) as scope,
            _cancelled_from_outside(),
        ):
            answer: Answer[None] = wanted.plugin.on_shutdown()
            await settled(answer)
    except (Exception, SystemExit) as error:
        problem = f"failed: {_text_of(error)}"
        log.debug("its traceback", exc_info=error)
    else:
        if not scope.cancelled_caught:
            return
        problem = f"was cancelled after {wanted.entry.timeout:g} seconds"
    log.warning("the shut-down of plugin %r %s", wanted.name, problem)
    runtime.events.tell(
        "plugin.failed", {"plugin": wanted.name, "message": f"its shut-down {problem}"}
    )


@contextmanager
def _warning_if_blocking(what: str, wanted: PluginSpec) -> Iterator[None]:
    """Warn, from a thread, of a plugin that blocks the event loop beyond its timeout.

    Only what awaits something can be cancelled.
    """
    warning = "the %s of plugin %r takes more than %g seconds and cannot be ended: it blocks, or ignores that it is cancelled"
    timeout = wanted.entry.timeout
    timer = threading.Timer(timeout + GRACE, log.warning, (warning, what, wanted.name, timeout))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _cancelled_from_outside() -> Iterator[None]:
    """Treat a cancellation inside a plugin, such as that of its own task, as a failure."""
    try:
        yield
    except asyncio.CancelledError as error:
        raise as_failure(error) from error


def _report(runtime: Runtime, name: str, entry: PluginSettings, error: BaseException) -> None:
    """Report that a plugin is left out; raise PluginError if it is required."""
    runtime.events.tell("plugin.failed", {"plugin": name, "message": _text_of(error)})
    if entry.required:
        hint = getattr(error, "hint", None) or "see the traceback with --debug"
        failure = PluginError(f"plugin {name!r} did not start: {_text_of(error)}", hint=hint)
        raise failure from error
    hint = getattr(error, "hint", None) or "fix it, or set enabled = false for it"
    log.warning("plugin %r did not start and is skipped: %s; %s", name, _text_of(error), hint)
    log.debug("its traceback", exc_info=error)


def _text_of(error: BaseException) -> str:
    if isinstance(error, LlmspellError):
        return f"{error.where}: {error.message}" if error.where else error.message
    place = place_of(error)
    return f"{type(error).__name__}: {error}" + (f" ({place})" if place else "")
