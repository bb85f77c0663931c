"""One Lua state; the only module in which the Lua of spells runs.

The rules that contain a hostile spell (each closes an escape that was shown to work):
no Python object or callable enters the state; bytes cross through a single mailbox table; lupa
resumes only one trusted coroutine, which yields exactly one string; lupa does not decode strings;
the memory limit is on only while Lua runs, since lupa's own allocations are not protected; the text
of a spell is never loaded as bytecode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lupa import lua55

from llmspell.lua.image import Image
from llmspell.lua.messages import KILLED, Kill, killed

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from llmspell.limits import Limits


def _deny(*_: Any) -> None:
    raise AttributeError("no access")


def _new_state(seed: int) -> Any:
    return lua55.LuaRuntime(
        encoding=None,
        string_hash_seed=seed,
        register_eval=False,
        register_builtins=False,
        attribute_handlers=(_deny, _deny),
        unpack_returned_tuples=False,
        max_memory=0,
    )


class Vm:
    """A Lua state that runs one spell."""

    def __init__(
        self,
        limits: Limits,
        *,
        seed: int,
        image: Image,
        tools: Sequence[str],
        cpu_clock: bool = False,
    ) -> None:
        """Create a state.

        Args:
            limits: The limits of the run, see limits.py.
            seed: The seed for math.random and for the order of `pairs`.
            image: The trusted Lua, see image.py.
            tools: Names of tools to define as global functions.
            cpu_clock: Measure time in CPU seconds of the process, which must run this state only,
                instead of whole seconds of wall time.
        """
        self._memory = limits.memory
        self._state = state = _new_state(seed)
        self._mailbox = state.table()
        config = state.table_from(
            {
                b"instructions": limits.instructions,
                b"clock": cpu_clock,
                b"time": limits.time if cpu_clock else max(1, round(limits.time)),
                b"message": limits.message,
                b"output": limits.output,
                b"memory": limits.memory,
                b"seed": seed,
                b"tools": "\0".join([*tools, ""]).encode(),
            }
        )
        with state.nogc():
            root = state.execute(image.code, self._mailbox, config, name=b"=llmspell", mode=b"B")
        state.gccollect()  # a fifth of the heap was needed only for the setup
        self._resume = root.coroutine().send
        self._limit_memory = state.set_max_memory
        # Mode B does not copy the bytecode, so it must be freed after the state. The interpreter's
        # exit clears attributes in the order in which they were set.
        self._code = image.code

    def resume(self, message: bytes) -> bytes:
        """Pass messages and let Lua run until it waits; return its messages, see messages.py.

        Must not be called after a kill.
        """
        mailbox, limit_memory = self._mailbox, self._limit_memory  # `close` may come meanwhile
        mailbox[1] = message
        limit_memory(self._memory)
        try:
            out: bytes = self._resume(None)
        except lua55.LuaError as error:
            return killed(_broken(error))
        finally:
            limit_memory(0)
        if out[0] == KILLED:
            return killed(Kill(*(mailbox[i] for i in (2, 3, 4, 5))), after=out)
        return out

    def resume_apart(self, message: bytes) -> asyncio.Future[bytes]:
        """Like `resume`, in a thread."""
        import asyncio

        from anyio import to_thread

        return asyncio.ensure_future(to_thread.run_sync(self.resume, message))

    def on_end(self, tell: Callable[[], None]) -> None:
        """Do nothing: the state only ever ends within `resume`."""

    def close(self) -> None:
        """Free the state, once a `resume_apart` under way has ended.

        What refers to this object, such as the traceback of an error, may be kept for long.
        """
        self._state = self._mailbox = self._resume = self._limit_memory = None

    @property
    def memory_used(self) -> int:
        """Bytes of Lua memory in use."""
        return int(self._state.get_memory_used())


def _broken(error: Exception) -> Kill:
    """Return why the root coroutine itself failed, such as for lack of memory."""
    if isinstance(error, MemoryError):
        return Kill("memory", "memory limit exceeded", None, "")
    if str(error) == "time limit exceeded":  # while it read what the host passed, see guard.lua
        return Kill("time", str(error), None, "")
    return Kill("kernel", f"the kernel failed: {error}", None, "")
