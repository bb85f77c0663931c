"""One Lua state, and the only module that imports lupa.

What keeps a hostile spell inside (each rule answers a way out that was shown to work):
no Python object or callable enters the state; bytes cross through one mailbox table; lupa resumes
one trusted coroutine only, which yields exactly one string; strings are not decoded by lupa; the
memory limit is on only while Lua runs, since lupa's own allocations are not protected; the text
of a spell is never loaded as bytecode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lupa import lua55

from llmspell.lua.image import Image
from llmspell.lua.messages import Reader, Receiver, as_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmspell.limits import Limits

_WAIT, _MORE, _FAILED = b"wmf"
_LOAD, _BROKEN = b"l", b"f"


class Kill(NamedTuple):
    """Why a state was ended: the limit's name, a sentence, and where the spell was."""

    limit: str
    message: str
    where: str | None
    traceback: str


class Turn(NamedTuple):
    """What came of letting Lua run.

    Attributes:
        more: True when it can go on at once, False when it waits for a reply.
        kill: Set when the state is dead.
    """

    more: bool
    kill: Kill | None


_WAITING, _GOING_ON = Turn(more=False, kill=None), Turn(more=True, kill=None)


def _broken(error: Exception | None) -> Kill:
    """The root itself failed: memory ran out while it worked."""
    if isinstance(error, MemoryError):
        return Kill("memory", "memory limit exceeded", None, "")
    return Kill("kernel", f"the kernel failed: {error}", None, "")


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
        receiver: Receiver,
        *,
        seed: int,
        image: Image,
        tools: Sequence[str],
    ) -> None:
        """Make a state.

        Args:
            limits: See limits.py.
            receiver: Is told what Lua says, during `read`.
            seed: For math.random and the order of `pairs`.
            image: See image.py.
            tools: Names that are to be global functions which call the tool of that name.
        """
        self._memory = limits.memory
        self._state = state = _new_state(seed)
        self._mailbox = state.table()
        config = state.table_from(
            {
                b"instructions": limits.instructions,
                b"time": max(1, round(limits.time)),
                b"message": limits.message,
                b"output": limits.output,
                b"memory": limits.memory,
                b"seed": seed,
                b"bridges": self._names(image.eager),
                b"lazy": state.table_from([self._names(lazy.globals) for lazy in image.lazy]),
                b"tools": self._names(tools),
            }
        )
        self._lazy = image.lazy
        self._failure: Exception | None = None
        root = state.execute(image.code, self._mailbox, config, name=b"=llmspell", mode=b"b")
        state.gccollect()  # a third of what is there by now was needed only to get here
        self._resume = root.coroutine().send
        self._limit_memory = state.set_max_memory
        self._read = Reader(receiver).read

    def resume(self, message: bytes) -> bytes:
        """Hand over a message and let Lua run until it waits; what it says, for `read`.

        May be called in any thread, by one at a time. After a kill, never again.
        """
        self._mailbox[1] = message
        self._limit_memory(self._memory)
        try:
            out: bytes = self._resume(None)
            while out == _LOAD:
                out = self._load()
        except lua55.LuaError as error:
            self._failure = error
            return _BROKEN
        finally:
            self._limit_memory(0)
        return out

    def read(self, out: bytes) -> Turn:
        """Tell the receiver what Lua said, and how things stand."""
        standing = out[0]
        if standing == _FAILED:
            return Turn(more=False, kill=_broken(self._failure))
        self._read(out)
        if standing == _WAIT:
            return _WAITING
        if standing == _MORE:
            return _GOING_ON
        limit, reason, where, traceback = (self._mailbox[i] for i in (2, 3, 4, 5))
        shown = None if where is None else as_text(where)
        kill = Kill(as_text(limit), as_text(reason), shown, as_text(traceback or b""))
        return Turn(more=False, kill=kill)

    def _load(self) -> bytes:
        """Give Lua the part it asks for, and let it go on."""
        self._limit_memory(0)
        code = self._lazy[self._mailbox[2] - 1].code
        self._mailbox[2] = self._state.compile(code, name=b"=llmspell", mode=b"b")
        self._limit_memory(self._memory)
        return bytes(self._resume(None))

    def _names(self, names: Sequence[str]) -> Any:
        return self._state.table_from([name.encode() for name in names])

    @property
    def memory_used(self) -> int:
        """Bytes of Lua memory in use."""
        return int(self._state.get_memory_used())
