"""A tool: a function with a schema that spells and models may call."""

from __future__ import annotations

import asyncio
import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from llmspell.concurrency import as_failure, settled
from llmspell.effects import Effect
from llmspell.errors import InvalidArguments, InvalidResult, LlmspellError, ToolError
from llmspell.permissions import Need
from llmspell.registry import FIRST_VERSION, version_order
from llmspell.signature import Signature
from llmspell.values import NotPlain, Value, plain

if TYPE_CHECKING:
    from llmspell.permissions import Kind

P = ParamSpec("P")
R = TypeVar("R")


class Tool(ABC):
    """What the registry holds, `Tool.call` calls and agents show to models.

    Attributes:
        name: Its name in Lua and to a model: letters, digits, `_`; at most 64.
        description: What a model reads to decide on it.
        category: For listings: "files", "net", "data", "text", …
        tags: More words to list and find it by.
        version: Which of several tools of one name it is: numbers with dots between them.
        timeout: Seconds a call may take, or None.
        declares: Whether it says all that it touches, so that grants can judge it. One that says
            nothing is trusted code: whoever made it known to the runtime vouches for it.
        leaf: Whether it touches the world itself; otherwise all it does is perform effects.
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
        """The permissions a call with these checked arguments asks for."""
        return []

    def may_repeat(self, bound: dict[str, Any]) -> bool:  # noqa: ARG002 - subclasses use it
        """Whether a call with these checked arguments may be made again when nobody knows whether
        it was: it changes nothing, or making it twice is like making it once.
        """
        return False

    @property
    def touches(self) -> list[tuple[Kind, str]]:
        """What it declares: kinds of permission, each with the parameter that holds the target."""
        return []

    def describe(self) -> dict[str, Any]:
        """All there is to say of it, as plain values: its summary, and its schema."""
        return {**self.summary(), "schema": self.schema}

    def summary(self) -> dict[str, Any]:
        """What a list says of it, as plain values.

        `touches` has the parameters of each kind of permission, and is None if it declares nothing.
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
        """Do it. `effect` is the `tool.call` in progress."""


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def check_tool_name(name: str) -> str:
    """The name, if a tool may have it. Raises InvalidArguments."""
    if not _NAME.fullmatch(name):
        raise InvalidArguments(
            "tool",
            [f"{name!r} is no name for a tool"],
            hint="use letters, digits and _, at most 64",
        )
    return name


class FunctionTool(Tool, Generic[P, R]):
    """A tool made of a typed Python function; calling it calls the function."""

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
        self.function = function
        self.signature = Signature(function, injected=(Effect,))
        self.name = check_tool_name(name or self.signature.name)
        self.description = self.signature.description
        self.category, self.tags, self.version = category, tuple(tags), version
        self.timeout = timeout
        version_order(version)
        if isinstance(tags, str):
            raise TypeError(f"{self.name}: tags is a list of words, not {tags!r}")
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
            raise TypeError(f"{self.name} is pure, and yet it touches something")
        self.declares = pure or bool(self._touches)
        self._idempotent = pure or idempotent
        self.__doc__ = function.__doc__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

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
            Need(kind, str(target))
            for kind, parameter in self._touches
            for target in _targets(bound.get(parameter, defaults[parameter]))
        ]

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
            kind = type(error).__name__
            said = f"{kind}: {error}" if str(error) else kind
            raise ToolError(f"{self.name}: {said}", details={"type": kind}) from error
        try:
            return plain(result)
        except NotPlain as error:
            raise InvalidResult(
                f"{self.name} returned something Lua cannot hold: {error}",
                hint="return a string, number, boolean, list, dict, dataclass or pydantic model",
            ) from error

    async def _run(self, kwargs: dict[str, Any]) -> Any:
        function: Callable[..., Any] = self.function
        if inspect.iscoroutinefunction(function):
            return await function(**kwargs)
        from functools import partial

        from anyio import to_thread

        call = partial(function, **kwargs)
        return await settled(await to_thread.run_sync(call, abandon_on_cancel=True))


def _targets(value: Any) -> Iterable[Any]:
    """The paths, URLs or names an argument holds: none, one, or several in a collection."""
    if value is None:
        return ()
    return value if isinstance(value, (list, tuple, set, frozenset)) else (value,)


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
    """Make a typed function a tool.

    The parameters' types become the JSON Schema and the checks, the Google-style docstring the
    descriptions. A sync function runs in a thread. The result may be anything `plain()` knows.

    Args:
        function: The function, when the decorator is used without options.
        **options: `name`; `category`; `tags`, a list of words; `version`; `reads`, `writes`, `net`, `runs` and `env`: names of the
            parameters that hold a path it reads, a path it writes, a URL it reaches, a program it
            runs, an environment variable it reads, or a list of such, each judged by the run's
            grants before the call; `pure=True` if it touches nothing; `idempotent=True` if making
            a call twice is like making it once, or a function that says so of checked arguments; `timeout` in seconds.
    """
    if function is not None:
        return FunctionTool(function)
    return lambda wanted: FunctionTool(wanted, **options)
