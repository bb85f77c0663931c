"""The results a hook may return. The table in docs/hooks.md says what each does at which point."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from llmspell.effects import Effect
from llmspell.values import NotPlain, Value, in_order, plain


@dataclass(frozen=True, slots=True)
class Modify:
    """Continue with other arguments (before), or with another result (after, on error)."""

    value: Value


@dataclass(frozen=True, slots=True)
class Replace:
    """Set the effect's result: before, instead of performing it; on error, instead of failing."""

    result: Value


@dataclass(frozen=True, slots=True)
class Halt:
    """Fail the effect with `hook_halted`; no other hook runs. A guard halts whatever its reason is."""

    reason: str = "no reason given"

    def __post_init__(self) -> None:
        given: Any = self.reason
        if not isinstance(given, str):
            reason = "no reason given" if given is None else str(given)
            object.__setattr__(self, "reason", reason)


@dataclass(frozen=True, slots=True)
class Retry:
    """Retry the effect: before, whenever it fails; after and on error, now.

    Attributes:
        delay: Seconds to wait before each attempt.
        attempts: The most repetitions.
    """

    delay: float = 0.0
    attempts: int = 1

    def __post_init__(self) -> None:
        _check_seconds("delay", self.delay)
        if type(self.attempts) is not int or self.attempts < 1:
            raise ValueError(f"retry: attempts: {self.attempts!r} is not a number of attempts")


@dataclass(frozen=True, slots=True)
class Redirect:
    """Perform another effect instead of this one.

    Attributes:
        effect: The name of the effect; or give one of the next two.
        tool: The tool to call.
        model: The model to request, if the effect has a `model`.
        args: The arguments; by default those of this effect, or of the tool it calls. With `model`,
            only those that change.
    """

    effect: str | None = None
    tool: str | None = None
    model: str | None = None
    args: Mapping[str, Value] | None = None

    def __post_init__(self) -> None:
        named = [name for name in (self.effect, self.tool, self.model) if name is not None]
        if len(named) != 1 or not isinstance(named[0], str):
            raise ValueError("redirect: name an effect, a tool or a model")
        _check_table("redirect: args", {} if self.args is None else self.args)

    def target(self, effect: Effect) -> tuple[str, dict[str, Value]]:
        """Return the name and arguments of the effect to perform. Raises ValueError."""
        given = None if self.args is None else dict(self.args)
        if self.effect is not None:
            return self.effect, dict(effect.args) if given is None else given
        if self.tool is not None:
            own = effect.args if effect.name == "tool.call" else {}
            args = own.get("args") or {} if given is None else given
            return "tool.call", {**own, "name": self.tool, "args": args}
        if "model" not in effect.args:
            raise ValueError(
                f"redirect: {effect.name} has no model; only model.request can be redirected to a model"
            )
        return effect.name, {**effect.args, **(given or {}), "model": self.model}


@dataclass(frozen=True, slots=True)
class Skip:
    """Set the result to nil and run no other hook; before, the effect is not performed."""


@dataclass(frozen=True, slots=True)
class Cache:
    """Answer from the cache; if there is no entry, cache the effect's result.

    Attributes:
        key: The cache key, among those of effects of this name; by default derived from the
            arguments.
        ttl: Seconds until the entry expires; None keeps it until newer ones displace it.
    """

    key: str | None = None
    ttl: float | None = None

    def __post_init__(self) -> None:
        if self.key is not None and not isinstance(self.key, (str, bytes)):
            raise ValueError(f"cache: key: {self.key!r} is not a string")
        if self.ttl is not None:
            _check_seconds("ttl", self.ttl)

    def place(self, effect: Effect) -> tuple[str, str | bytes]:
        key = repr(in_order(effect.args)) if self.key is None else self.key
        return effect.name, key


@dataclass(frozen=True, slots=True)
class Fork:
    """Perform further effects concurrently and wait for them; failures are logged.

    Attributes:
        effects: The name and arguments of each.
    """

    effects: tuple[tuple[str, Mapping[str, Value]], ...]

    def __init__(self, *effects: tuple[str, Mapping[str, Value]]) -> None:
        for name, args in effects:
            if not isinstance(name, str):
                raise ValueError(f"fork: {name!r} is not the name of an effect")  # noqa: TRY004 - the same class of error for all
            _check_table(f"fork: the arguments of {name}", args)
        object.__setattr__(self, "effects", tuple((name, dict(args)) for name, args in effects))


HookResult: TypeAlias = Modify | Replace | Halt | Retry | Redirect | Skip | Cache | Fork | None
"""None means to continue."""

RESULTS: frozenset[type[Any]] = frozenset(
    {Modify, Replace, Halt, Retry, Redirect, Skip, Cache, Fork}
)


def with_plain_values(result: HookResult) -> HookResult:
    """Return a hook's result with plain values. Raises NotPlain, which names the result."""
    try:
        match result:
            case Modify(value):
                return Modify(plain(value))
            case Replace(value):
                return Replace(plain(value))
            case Redirect(args=args) if args is not None:
                return replace(result, args=plain(args))
            case Fork(effects):
                return Fork(*((name, plain(args)) for name, args in effects))
            case _:
                return result
    except NotPlain as error:
        raise NotPlain(f"its {type(result).__name__}: {error}") from error


def _check_seconds(name: str, seconds: float) -> None:
    fine = type(seconds) in (int, float) and math.isfinite(seconds) and seconds >= 0
    if not fine:
        raise ValueError(f"{name}: {seconds!r} is not a number of seconds")


def _check_table(name: str, args: object) -> None:
    if not isinstance(args, Mapping):
        raise ValueError(f"{name}: {args!r} is not a table")  # noqa: TRY004 - the same class of error for all
