"""Running programs."""

# ruff: noqa: D417 - `effect` is injected; callers do not give it

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Annotated

from pydantic import Field

from llmspell.concurrency import gather
from llmspell.effects import Effect
from llmspell.errors import ToolError
from llmspell.permissions import Need, Permissions
from llmspell.tools.tool import tool
from llmspell.values import as_bytes, text_or_bytes

MAX_OUTPUT = 100_000_000

# What programs need to find their files and to format output; these do not hold secrets.
_PASSED_ON = (
    *("PATH", "HOME", "LANG", "TZ", "TMPDIR", "TERM"),
    *("LC_ALL", "LC_COLLATE", "LC_CTYPE", "LC_MESSAGES", "LC_MONETARY", "LC_NUMERIC", "LC_TIME"),
)
_PIECE = 65_536
_KILL_TIMEOUT = 5.0  # seconds; a killed process exits at once, unless it runs as another user


@dataclass(slots=True)
class ProgramResult:
    """The result of a program.

    Attributes:
        exit_code: Its exit code; if a signal ended it, the negative signal number.
        stdout: Text, or bytes if it is not UTF-8.
        stderr: Text, or bytes if it is not UTF-8.
    """

    exit_code: int
    stdout: str | bytes
    stderr: str | bytes


@tool(category="system", runs=["program"])
async def run_program(
    effect: Effect,
    program: Annotated[str, Field(min_length=1)],
    *,
    args: list[str] | None = None,
    stdin: str | bytes = "",
    cwd: str = ".",
    timeout: Annotated[float, Field(gt=0, le=3600)] = 60,  # noqa: ASYNC109 - a parameter of the spell
    max_bytes: Annotated[int, Field(ge=1, le=MAX_OUTPUT)] = 10_000_000,
) -> ProgramResult:
    """Run a program until it ends. The result is `{exit_code, stdout, stderr}`.

    No shell is involved. Every exit code is a result. The program has no terminal, and its
    environment has only PATH, HOME, TMPDIR, TERM, and the variables for language and time zone.
    Processes it leaves running are killed when it ends.

    Args:
        program: Its name, searched in the folders of PATH, or its path.
        args: Its arguments.
        stdin: Its standard input: text (as UTF-8) or bytes.
        cwd: The folder it runs in.
        timeout: Seconds after which it is killed, with the processes it started.
        max_bytes: More output than this, stdout and stderr together, is an error.
    """
    import anyio

    place = _place(program)
    permissions, need = effect.run[Permissions], Need("run", place)
    if not permissions.allows(need):  # PATH has changed since the name was checked
        permissions.check(need, by="run_program")
    data = as_bytes(stdin)
    with _translate_errors(program, timeout), anyio.fail_after(timeout):
        async with _started(place, [program, *(args or [])], data, _folder(cwd)) as process:
            stdout, stderr = await _output(process, program, max_bytes)
    return ProgramResult(process.returncode, text_or_bytes(stdout), text_or_bytes(stderr))


def _place(program: str) -> str:
    """Return the absolute path of a program, without resolving links."""
    if location := shutil.which(program):
        return str(Path(location).absolute())
    hint: str | None
    if Path(program).is_file():
        reason, hint = f"{program} is not executable", f"chmod +x {program}"
    elif "/" in program:
        reason, hint = f"there is no program {program}", f"relative paths start at {Path.cwd()}"
    else:
        reason = f"there is no program {program} in the folders of PATH"
        hint = "its arguments belong into args" if " " in program else None
    raise ToolError(reason, hint=hint, details={"program": program})


def _folder(cwd: str) -> str:
    if not Path(cwd).is_dir():
        raise ToolError(
            f"cannot run in {cwd}: it is not a folder",
            hint=f"relative paths start at {Path.cwd()}",
            details={"cwd": cwd},
        )
    return cwd or "."


@contextmanager
def _translate_errors(program: str, timeout: float) -> Iterator[None]:
    """Turn errors that keep a program from running into a ToolError."""
    try:
        yield
    except TimeoutError as error:
        raise ToolError(
            f"{program} did not end within {timeout:g} s",
            hint="give a larger timeout",
            details={"program": program, "timeout": timeout},
        ) from error
    except (OSError, ValueError) as error:
        number = error.errno if isinstance(error, OSError) else None
        reason = _REASONS.get(number or 0, str(error))
        raise ToolError(f"cannot run {program}: {reason}", details={"program": program}) from error


_REASONS = {
    errno.ENOENT: "the interpreter named in its first line does not exist",
    errno.ENOEXEC: "it is neither a program for this machine nor a script that names an interpreter",
    errno.E2BIG: "its arguments are too long",
}


@asynccontextmanager
async def _started(
    place: str, argv: list[str], stdin: bytes, cwd: str
) -> AsyncIterator[subprocess.Popen[bytes]]:
    """Start a program in a process group of its own, which is killed at the end."""
    from anyio import move_on_after

    with TemporaryFile() as file:
        file.write(stdin)
        file.seek(0)
        process = subprocess.Popen(  # noqa: S603, ASYNC220 - the program was checked; forking is quick
            argv,
            executable=place,
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=cwd,
            env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            _kill_group(process)
            with move_on_after(_KILL_TIMEOUT, shield=True):
                await _ended(process)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


async def _ended(process: subprocess.Popen[bytes]) -> None:
    """Wait for a program to exit, in a thread outside the pool that other tools share."""
    from anyio import CapacityLimiter, to_thread

    own = CapacityLimiter(1)
    await to_thread.run_sync(_reap, process, abandon_on_cancel=True, limiter=own)


def _reap(process: subprocess.Popen[bytes]) -> None:
    process.wait()
    # Its children may keep the pipes open. This is done at once, before the id is reused.
    _kill_group(process)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    # The group is empty, or the program runs as another user, such as root.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


async def _output(process: subprocess.Popen[bytes], program: str, most: int) -> tuple[bytes, bytes]:
    """Return what a program writes to stdout and stderr until it exits.

    Raises:
        ToolError: That is more than `most` bytes in total.
    """
    from anyio import wait_readable

    stdout, stderr = bytearray(), bytearray()

    async def collect(pipe: IO[bytes] | None, output: bytearray) -> None:
        assert pipe is not None  # noqa: S101 - both are pipes
        while True:
            await wait_readable(pipe)
            piece = os.read(pipe.fileno(), _PIECE)
            if not piece:
                return
            output += piece
            if len(stdout) + len(stderr) > most:
                raise ToolError(
                    f"{program} wrote more than max_bytes = {most:,}",
                    hint=f"give a larger max_bytes, at most {MAX_OUTPUT:,}",
                    details={"program": program, "max_bytes": most},
                )

    pipes = [collect(process.stdout, stdout), collect(process.stderr, stderr)]
    await gather([*pipes, _ended(process)])
    return bytes(stdout), bytes(stderr)
