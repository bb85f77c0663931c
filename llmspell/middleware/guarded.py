"""Names middleware whose own code fails at an effect, as opposed to what it stands around."""

from __future__ import annotations

from llmspell.concurrency import Answer, as_failure
from llmspell.eager_steps import Steps, run_eagerly
from llmspell.effects import Effect, Perform
from llmspell.errors import LlmspellError, ungrouped
from llmspell.middleware.failures import middleware_failed
from llmspell.values import Value


def inside(call: Perform) -> Perform:
    """Return `call` such that the traceback of each of its errors leads through `_steps_inside`."""
    return lambda effect: run_eagerly(_steps_inside(call, effect))


def guarded(name: str, wrapped: Perform) -> Perform:
    """Return what middleware has put around `inside(call)`, with its own failures named.

    They become MiddlewareFailed. An LlmspellError is passed on, and so is any error of `call`.
    """

    def steps(effect: Effect) -> Steps[Answer[Value]]:
        try:
            answer = wrapped(effect)
            return (yield answer) if hasattr(answer, "__await__") else answer
        except LlmspellError:
            raise
        except Exception as error:
            first = ungrouped(error)
            if isinstance(first, LlmspellError) or _is_from_inside(first):
                raise first from first.__cause__
            what = f"{type(first).__name__}: {first}"
            raise middleware_failed(name, effect.name, what, effect.run) from error
        except SystemExit as error:
            if _is_from_inside(error):
                raise
            what = str(as_failure(error))
            raise middleware_failed(name, effect.name, what, effect.run) from error

    return lambda effect: run_eagerly(steps(effect))


def _steps_inside(call: Perform, effect: Effect) -> Steps[Answer[Value]]:
    answer = call(effect)
    return (yield answer) if hasattr(answer, "__await__") else answer


def _is_from_inside(error: BaseException) -> bool:
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code is _steps_inside.__code__:
            return True
        traceback = traceback.tb_next
    return False
