"""Tools: functions with a schema that spells and models can call."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from copy import copy
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from llmspell.concurrency import as_failure, settled
from llmspell.effects import Effect
from llmspell.errors import InvalidArguments, InvalidResult, LlmspellError, ToolError, ungrouped
from llmspell.permissions import Need
from llmspell.registry import FIRST_VERSION, version_order
from llmspell.signature import Signature
from llmspell.values import NotPlain, Value, plain

if TYPE_CHECKING:
    from llmspell.permissions import Kind

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")


class Tool(ABC):
    """A tool that can be registered, called by `Tool.call`, and offered to models by agents.

    Attributes:
        name: Its name in Lua and for models: letters, digits and `_`; at most 64 characters.
        description: What a model reads to decide whether to call it.
        category: For listings: "files", "net", "data", "text", …
        tags: Further words it can be listed and searched by.
        version: Distinguishes tools of the same name: numbers separated by dots.
        timeout: Seconds a call may take, or None.
        declares: Whether it declares everything it touches, so that grants can be checked. A tool
            that declares nothing is trusted code: whoever registers it vouches for it.
        leaf: Whether it touches the outside world itself; otherwise it only performs effects.
    """

    name: str
    description: str
    category: str = "user"
    tags: tuple[str, ...] = ()
    version: str = FIRST_VERSION
    timeout: float | None = None
    declares: bool = False
    leaf: bool = True

    @property
    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments, an object."""

    @abstractmethod
    def bind(self, arguments: dict[str, Value]) -> dict[str, Any]:
        """Check and convert arguments. Raises InvalidArguments."""

    def needs(self, bound: dict[str, Any]) -> list[Need]:  # noqa: ARG002 - subclasses use it
        """Return the permissions that a call with these checked arguments needs."""
        return []

    def may_repeat(self, bound: dict[str, Any]) -> bool:  # noqa: ARG002 - subclasses use it
        """Whether a call with these checked arguments is idempotent, so that it may be repeated
        if it is unknown whether it took place.
        """
        return False

    @property
    def touches(self) -> list[tuple[Kind, str]]:
        """The declared kinds of permission, each with the parameter that holds the target."""
        return []

    def check(self) -> None:  # noqa: B027 - most have nothing to check
        """Raise TypeError if its parameters are such that nobody can call it."""

    def describe(self) -> dict[str, Any]:
        """Return its summary and schema as plain values."""
        return {**self.summary(), "schema": self.schema}

    def summary(self) -> dict[str, Any]:
        """Return what listings show of it, as plain values.

        `touches` maps kinds of permission to parameters; it is None if the tool declares nothing.
        """
        touches: dict[str, list[str]] = {}
        for kind, parameter in self.touches:
            touches.setdefault(kind, []).append(parameter)
        return {
            "name": self.name,
            "version": self.version,
            "category": self.category,
            "tags": list(self.tags),
            "description": self.description,
            "touches": touches if self.declares else None,
        }

    @abstractmethod
    async def invoke(self, effect: Effect, bound: dict[str, Any]) -> Value:
        """Run the tool. `effect` is the `tool.call` in progress."""


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def check_tool_name(name: str) -> str:
    """Return the name if it is valid for a tool. Raises InvalidArguments."""
    if not _NAME.fullmatch(name):
        raise InvalidArguments(
            "tool",
            [f"{name!r} is not a valid name for a tool"],
            hint="use letters, digits and _, at most 64",
        )
    return name


def _check_function(given: Any) -> None:
    """Raise TypeError for what has no name and types of its own, such as a `functools.partial`."""
    if not callable(given):
        raise TypeError(f"{given!r} is not a tool: pass a typed function")
    if not hasattr(given, "__name__"):
        raise TypeError(f"{given!r} has no name and types: wrap it in a typed function")


class FunctionTool(Tool, Generic[P, R]):
    """A tool made from a typed Python function; calling the object calls the function."""

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str | None = None,
        category: str = "user",
        tags: Iterable[str] = (),
        version: str = FIRST_VERSION,
        reads: Iterable[str] = (),
        writes: Iterable[str] = (),
        net: Iterable[str] = (),
        runs: Iterable[str] = (),
        env: Iterable[str] = (),
        pure: bool = False,
        idempotent: bool | Callable[[dict[str, Any]], bool] = False,
        timeout: float | None = None,
    ) -> None:
        _check_function(function)
        self.function = function
        self.signature = Signature(function, injected=(Effect,))
        self.name = check_tool_name(name or self.signature.name)
        self.description = self.signature.description
        self.category, self.tags, self.version = category, tuple(tags), version
        self.timeout = timeout
        version_order(version)
        if isinstance(tags, str):
            raise TypeError(f"{self.name}: tags must be a list of words, not {tags!r}")
        self._touches: list[tuple[Kind, str]] = [
            *(("read", p) for p in reads),
            *(("write", p) for p in writes),
            *(("net", p) for p in net),
            *(("run", p) for p in runs),
            *(("env", p) for p in env),
        ]
        for _, parameter in self._touches:
            if parameter not in inspect.signature(function).parameters:
                raise TypeError(f"{self.name} has no parameter {parameter!r} to judge")
        if pure and self._touches:
            raise TypeError(f"{self.name} is pure, but declares what it touches")
        self.declares = pure or bool(self._touches)
        self._idempotent = pure or idempotent
        self.__doc__ = function.__doc__

    def check(self) -> None:
        first = next(iter(self.signature.parameters), None)
        if first is not None and first.name == "self":
            raise TypeError(f"{self.name} is a method: pass that of an object")

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(
        self: FunctionTool[Concatenate[Any, Q], R], instance: object, owner: type | None = None
    ) -> FunctionTool[Q, R]: ...

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """Return the tool of an object, for one that was made from a method of its class."""
        if instance is None:
            return self
        own: Any = copy(self)
        own.function = MethodType(self.function, instance)
        own.signature = Signature(own.function, injected=(Effect,))
        return own

    @property
    def schema(self) -> dict[str, Any]:
        return self.signature.schema

    def bind(self, arguments: dict[str, Value]) -> dict[str, Any]:
        return self.signature.bind(arguments, target=self.name)

    @property
    def touches(self) -> list[tuple[Kind, str]]:
        return list(self._touches)

    def needs(self, bound: dict[str, Any]) -> list[Need]:
        defaults = {p.name: p.default for p in self.signature.parameters}
        return [
            Need(kind, target)
            for kind, parameter in self._touches
            for target in self._targets(parameter, bound.get(parameter, defaults[parameter]))
        ]

    def _targets(self, parameter: str, argument: Any) -> list[str]:
        """Return the paths, URLs or names in an argument: none, one, or those of a list."""
        value = None if argument is None else plain(argument)
        found = value if isinstance(value, list) else [] if value is None else [value]
        if not all(isinstance(target, (str, bytes)) for target in found):
            problem = f"{parameter}: no grant covers what is neither a text nor a list of texts"
            hint = "change the parameter's type, or what @tool declares about it"
            raise InvalidArguments(self.name, [problem], hint=hint)
        return [os.fsdecode(target) for target in found]

    def may_repeat(self, bound: dict[str, Any]) -> bool:
        return self._idempotent(bound) if callable(self._idempotent) else self._idempotent

    async def invoke(self, effect: Effect, bound: dict[str, Any]) -> Value:
        kwargs = dict.fromkeys(self.signature.injections, effect) | bound
        try:
            result = await self._run(kwargs)
        except LlmspellError:
            raise
        except asyncio.CancelledError as error:
            details = {"type": "CancelledError"}
            raise ToolError(f"{self.name}: {as_failure(error)}", details=details) from error
        except (Exception, SystemExit) as error:
            first = ungrouped(error)
            if isinstance(first, LlmspellError):
                raise first from first.__cause__
            kind = type(first).__name__
            problem = f"{kind}: {first}" if str(first) else kind
            raise ToolError(f"{self.name}: {problem}", details={"type": kind}) from error
        try:
            return plain(result)
        except NotPlain as error:
            raise InvalidResult(
                f"{self.name} returned something that Lua cannot represent: {error}",
                hint="return a string, number, boolean, list, dict, dataclass or pydantic model",
            ) from error

    async def _run(self, kwargs: dict[str, Any]) -> Any:
        function: Callable[..., Any] = self.function
        if inspect.iscoroutinefunction(function):
            return await function(**kwargs)
        from functools import partial

        from llmspell.threads import in_thread

        return await settled(await in_thread(partial(function, **kwargs)))


@overload
def tool(function: Callable[P, R], /) -> FunctionTool[P, R]: ...


@overload
def tool(
    *,
    name: str | None = None,
    category: str = "user",
    tags: Iterable[str] = (),
    version: str = FIRST_VERSION,
    reads: Iterable[str] = (),
    writes: Iterable[str] = (),
    net: Iterable[str] = (),
    runs: Iterable[str] = (),
    env: Iterable[str] = (),
    pure: bool = False,
    idempotent: bool | Callable[[dict[str, Any]], bool] = False,
    timeout: float | None = None,
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...


def tool(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Turn a typed function into a tool.

    The parameters' types define the JSON Schema and the checks; the Google-style docstring has the
    descriptions. A sync function runs in a thread. The result may be anything `plain()` accepts.

    Args:
        function: The function, when the decorator is used without options.
        **options: `name`; `category`; `tags`, a list of words; `version`; `timeout` in seconds;
            `reads`, `writes`, `net`, `runs` and `env`: names of the parameters with a path it
            reads, a path it writes, a URL it reaches, a program it runs or an environment
            variable it reads, or a list of these, each checked against the run's grants before
            the call; `pure=True` if it touches nothing; `idempotent=True` if calling it twice is
            the same as once, or a function that tells this from the checked arguments.
    """
    if function is not None:
        return FunctionTool(function)
    return lambda wanted: FunctionTool(wanted, **options)
