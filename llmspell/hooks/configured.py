"""Creates the hooks listed as `[[hooks]]` in the settings."""

from __future__ import annotations

from collections.abc import Iterable

from llmspell.config import HookSettings
from llmspell.effect_patterns import SettingsPlace
from llmspell.errors import ConfigError
from llmspell.factory import construct
from llmspell.hooks.effect_hook import EffectHook
from llmspell.hooks.hook import Hook
from llmspell.hooks.points import parse_point
from llmspell.importing import load_object, named_in
from llmspell.shipped import reference


def configured(settings: Iterable[HookSettings], source: str) -> list[Hook]:
    """Create a hook for each entry, in order; `source` names the file in errors.

    Raises:
        ConfigError: No hook has that name, its settings are wrong, or `module` does not name a
            subclass of `Hook`.
        PluginError: `module` cannot be loaded.
    """
    return [_make(entry, source) for entry in settings]


def _make(entry: HookSettings, source: str) -> Hook:
    found = reference("hooks", entry.name, entry.module, source)
    place = f"hooks.{entry.name or entry.module}"
    with named_in(source, place):
        hook_class = load_object(found, what="a hook")
    if not (isinstance(hook_class, type) and issubclass(hook_class, Hook)):
        raise ConfigError(source, [f"{place}: {found} is not a subclass of Hook"])
    hook: Hook = construct(hook_class, entry.settings, place=f"{place}.settings", source=source)
    hook.place = SettingsPlace(source, f"{place}.effects" if entry.effects else place)
    hook.id = entry.name or hook.id
    if entry.effects:
        if not isinstance(hook, EffectHook):
            raise ConfigError(source, [f"{place}.effects: it has its own points"])
        hook.effects = entry.effects
        _check_effects(hook, f"{place}.effects", source)
    if entry.required is not None:
        hook.required = entry.required
    if entry.priority is not None:
        hook.priority = entry.priority
        if isinstance(hook, EffectHook):
            hook.innermost = False
    return hook


def _check_effects(hook: EffectHook, place: str, source: str) -> None:
    for effect in hook.effects:
        if not effect:
            raise ConfigError(source, [f"{place}: {effect!r} matches no effect"])
        try:
            parse_point(f"before:{effect}")
        except ValueError as error:
            raise ConfigError(source, [f"{place}: {error}"]) from error
