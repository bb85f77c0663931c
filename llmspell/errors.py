"""The error hierarchy. Every class has a stable `code`, and an exit code for the process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from llmspell.limits import how_to_raise, units

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

E = TypeVar("E", bound="LlmspellError")


class LlmspellError(Exception):
    """An error that llmspell can explain to the user.

    Attributes:
        code: Stable name of the kind of error, in snake_case.
        exit_code: The exit code of a process that this error ends.
        message: What was wrong, in one sentence.
        hint: What to do next, or None.
        details: Plain values for programs (field names, status codes, limits).
        where: `file.lua:line` in the spell, once known.
        source_line: The text of that line, if it is one of the spell that ran.
        effect: Name of the effect that failed, once known.
        path: Path of that effect, such as `0.2/5`, once known.
        run: The id of the run that this error ended, if the run is recorded.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        details: dict[str, Any] | None = None,
        where: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details or {}
        self.where = where
        self.source_line = ""
        self.effect: str | None = None
        self.path: str | None = None
        self.run: str | None = None
        self._notes: list[str] = []

    def __str__(self) -> str:
        return self.message

    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]
        """What a Python traceback shows below the message."""
        place = [f"at {self.where}"] if self.where else []
        hint = [f"hint: {self.hint}"] if self.hint else []
        return place + hint + self._notes

    def add_note(self, note: str) -> None:
        self._notes.append(note)

    def __reduce__(self) -> Any:
        """Copy and pickle it as it is: its `args` are not what its class is called with."""
        return _restored, (type(self), self.args), self.__dict__


def _restored(cls: type[E], args: tuple[Any, ...]) -> E:
    return cls.__new__(cls, *args)


class SpellError(LlmspellError):
    """An error of the spell itself: not found, invalid, or ended by an uncaught error."""

    code = "spell_error"


class SpellNotFound(SpellError):
    code = "spell_not_found"
    exit_code = 2


class SpellSyntaxError(SpellError):
    """The source does not compile; `line` is 1-based."""

    code = "spell_syntax"

    def __init__(self, message: str, *, file: str, line: int) -> None:
        super().__init__(message, where=f"{file}:{line}", details={"line": line})
        self.file, self.line = file, line


class SpellRuntimeError(SpellError):
    """An error that no pcall in the spell caught.

    Attributes:
        value: What the spell raised: a string, or a table such as `{code, message, details}`.
        lua_traceback: The Lua call stack when the error was raised.
        cause: The effect's error if `value` came from one, so that callers can match on it.
    """

    code = "spell_runtime"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        value: Any = None,
        lua_traceback: str = "",
        where: str | None = None,
        cause: EffectError | None = None,
    ) -> None:
        super().__init__(message, where=where, hint=(cause and cause.hint) or hint)
        self.value, self.lua_traceback, self.cause = value, lua_traceback, cause

    @property
    def run_exit_code(self) -> int:
        """Exit code of a run that this error ended: the cause's, if there is one."""
        return self.cause.exit_code if self.cause else self.exit_code


class EffectError(LlmspellError):
    """An effect failed. In Lua: a table `{code, message, details, hint, retryable}`."""

    code = "effect_error"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        details: dict[str, Any] | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(message, hint=hint, details=details)
        self.retryable = retryable

    def as_table(self) -> dict[str, Any]:
        """Return the Lua form of this error."""
        table: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.details:
            table["details"] = self.details
        if self.hint:
            table["hint"] = self.hint
        if self.where:
            table["where"] = self.where
        table["retryable"] = self.retryable
        return table


class UnknownEffect(EffectError):
    """No effect, tool or other registered thing has that name."""

    code = "unknown_effect"

    def __init__(self, kind: str, name: str, suggestions: Sequence[str] = ()) -> None:
        hint = f"did you mean {' or '.join(repr(s) for s in suggestions)}?" if suggestions else None
        super().__init__(
            f"no {kind} named {name!r}",
            hint=hint,
            details={"kind": kind, "name": name, "suggestions": list(suggestions)},
        )


class InvalidArguments(EffectError):
    """The arguments do not match the schema; `problems` has one line per field."""

    code = "invalid_arguments"

    def __init__(self, target: str, problems: Sequence[str], *, hint: str | None = None) -> None:
        super().__init__(
            f"{target}: {'; '.join(problems)}",
            details={"target": target, "problems": list(problems)},
            hint=hint,
        )


class InvalidResult(EffectError):
    """A handler returned something that is not a plain value."""

    code = "invalid_result"


class PermissionDenied(EffectError):
    """A grant is missing; the hint is the flag that grants it."""

    code = "permission_denied"
    exit_code = 3


class NotApproved(EffectError):
    """A person was asked to approve the effect, and refused."""

    code = "not_approved"
    exit_code = 3

    def __init__(self, what: str, reason: str = "") -> None:
        why = f": {reason}" if reason else ""
        details = {"what": what} | ({"reason": reason} if reason else {})
        super().__init__(f"{what} was not approved{why}", details=details)


class NobodyToAsk(EffectError):
    """A person has to answer or approve something, and nobody is available."""

    code = "nobody_to_ask"
    exit_code = 3


class SpellEnded(EffectError):
    """A function of a spell was to be called, or was being called, when the spell had ended."""

    code = "spell_ended"


class HookHalted(EffectError):
    """A hook stopped the effect."""

    code = "hook_halted"

    def __init__(self, hook: str, reason: str) -> None:
        super().__init__(
            f"stopped by hook {hook!r}: {reason}", details={"hook": hook, "reason": reason}
        )


class HookFailed(EffectError):
    """A hook marked `required` raised or took too long."""

    code = "hook_failed"


class MiddlewareFailed(EffectError):
    """Middleware raised, took too long or returned an invalid answer."""

    code = "middleware_failed"


class EffectTimeout(EffectError):
    """The effect exceeded its timeout."""

    code = "effect_timeout"

    def __init__(self, message: str, *, seconds: float) -> None:
        super().__init__(message, details={"seconds": seconds}, retryable=True)


class RateLimited(EffectError):
    """A rate limit was exceeded; `details.retry_after` is in seconds."""

    code = "rate_limited"

    def __init__(self, message: str, *, retry_after: float, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, details={"retry_after": retry_after}, retryable=True)


class ToolError(EffectError):
    """A tool reported a failure."""

    code = "tool_error"


class ProviderError(EffectError):
    """A model provider refused, failed or sent an invalid answer; `status` is HTTP's, if any.

    Attributes:
        billed: Whether the request may have been charged anyway.
    """

    code = "provider_error"
    billed = False

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retryable: bool = False,
        hint: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        details = dict(details or {})
        if status is not None:
            details["status"] = status
        super().__init__(message, hint=hint, details=details, retryable=retryable)
        self.status = status


class StateError(EffectError):
    """A store cannot read or write a value."""

    code = "state_error"


class BudgetExceeded(EffectError):
    """The budget of an agent or task is used up. For the run's budget, see `LimitExceeded`."""

    code = "budget_exceeded"
    exit_code = 4


class UnknownPrice(EffectError):
    """The price of a model is unknown, and a budget in US dollars applies."""

    code = "unknown_price"
    exit_code = 2

    def __init__(self, model: str) -> None:
        super().__init__(
            f"the price of {model} is unknown, and the budget is in US dollars",
            hint=f'set its price in llmspell.toml: "{model}" under [prices], '
            'or unknown_price = "allow" under [budget]',
            details={"model": model},
        )


class AgentError(EffectError):
    """An agent could not finish: too many steps, unusable output, or no such agent."""

    code = "agent_error"


class SpellFailed(EffectError):
    """A spell run by this one failed; `details` describe its error: {code, where, …}."""

    code = "spell_failed"

    def __init__(self, name: str, error: LlmspellError) -> None:
        where = f"{error.where}: " if error.where else ""
        raised = error.value if isinstance(error, SpellRuntimeError) else None
        table = raised if isinstance(raised, dict) else {}
        own, code = table.get("details"), table.get("code")
        super().__init__(
            f"the spell {name} failed: {where}{error.message}",
            hint=error.hint,
            details=error.details
            | (own if isinstance(own, dict) else {})
            | {"code": code if isinstance(code, str) else error.code, "where": error.where},
        )


class LimitExceeded(LlmspellError):
    """A limit ended the run; no pcall catches it.

    `limit` is the name of the setting in `[limits]`, and `value` is its value. The hint is to raise
    it to `enough`, or twice the value if that is more.
    """

    code = "limit_exceeded"
    exit_code = 4

    def __init__(
        self,
        message: str,
        *,
        limit: str,
        value: float,
        enough: float = 0.0,
        where: str | None = None,
    ) -> None:
        super().__init__(
            f"{message} ({units()[limit].shown(value)})",
            details={"limit": limit, "value": value},
            hint=how_to_raise(limit, value, enough),
            where=where,
        )
        self.limit, self.value = limit, value


class IsolationError(LlmspellError):
    """A spell cannot be run in an isolated process."""

    code = "isolation_error"
    exit_code = 2


class ReplayError(LlmspellError):
    """A run cannot be replayed from its journal."""

    code = "replay_error"
    exit_code = 5


class JournalError(ReplayError):
    """The journal cannot be read or written."""

    code = "journal_error"


class RunNotFound(ReplayError):
    """The journal has no such run, or several runs whose ids share that prefix."""

    code = "run_not_found"
    exit_code = 2


class RunBusy(ReplayError):
    """Another process is running that run."""

    code = "run_busy"


class UnfinishedEffect(ReplayError):
    """An effect was in progress when its run stopped, and its outcome is unknown."""

    code = "unfinished_effect"

    def __init__(self, what: str, path: str, run: str) -> None:
        super().__init__(
            f"{what} had begun when the run stopped, and it is not known whether it was done",
            hint=f"find out, then: llmspell resume {run} --unfinished again, or skip if it was done",
            details={"effect": what, "path": path},
        )


class JournalMismatch(ReplayError):
    """The spell requested a different effect than the recorded one."""

    code = "journal_mismatch"


class JournalExhausted(ReplayError):
    """The spell continued past the last recorded effect."""

    code = "journal_exhausted"


class RunSuspended(LlmspellError):
    """A run suspended itself and can be resumed.

    `reason` is one word; `due` is when to resume it, in seconds since 1970, or None.
    """

    code = "run_suspended"
    exit_code = 6

    def __init__(self, message: str, *, reason: str, due: float | None = None) -> None:
        super().__init__(message, details={"reason": reason, "due": due})
        self.reason, self.due = reason, due


class PluginError(LlmspellError):
    """A plugin, tool module or bridge could not be loaded."""

    code = "plugin_error"
    exit_code = 2


class ConfigError(LlmspellError):
    """A setting, parameter or front matter is invalid; `problems` has one line per key."""

    code = "config_error"
    exit_code = 2

    def __init__(self, path: str, problems: Sequence[str], *, hint: str | None = None) -> None:
        super().__init__(
            f"{path}: {'; '.join(problems)}", hint=hint, details={"problems": list(problems)}
        )
        self.path, self.problems = path, list(problems)


def error_classes(root: type[E]) -> Iterator[type[E]]:
    """Yield `root` and all classes below it, parents first."""
    yield root
    for child in root.__subclasses__():
        yield from error_classes(child)


ENDS_RUN = (LimitExceeded, ReplayError, RunSuspended)
"""Errors that end a run wherever they are raised; no spell catches them."""


def ungrouped(error: BaseException) -> BaseException:
    """Return the error that a group of them stands for, such as one of `asyncio.TaskGroup`.

    The first one counts, unless there is one that ends the run. Other errors are returned as they
    are.
    """
    if not isinstance(error, BaseExceptionGroup):
        return error
    errors = [ungrouped(one) for one in error.exceptions]
    return next((one for one in errors if isinstance(one, ENDS_RUN)), errors[0])


def effect_error_from(table: Any) -> EffectError | None:
    """Return the effect error that a Lua error table stands for, or None if it is something else.

    The inverse of `EffectError.as_table`, for errors that crossed Lua and came back uncaught.
    """
    if not isinstance(table, dict) or not isinstance(table.get("message"), str):
        return None
    code = table.get("code")
    # Parents come first, so a subclass that inherits its code does not shadow its parent.
    cls = next((cls for cls in error_classes(EffectError) if cls.code == code), None)
    if cls is None:
        return None
    error = cls.__new__(cls)
    details, hint = table.get("details"), table.get("hint")
    EffectError.__init__(
        error,
        table["message"],
        details=details if isinstance(details, dict) else None,
        hint=hint if isinstance(hint, str) else None,
        retryable=table.get("retryable") is True,
    )
    if isinstance(error, ProviderError):
        error.status = error.details.get("status")
    return error
