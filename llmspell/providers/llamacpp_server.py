"""Runs a llama.cpp server in a child process, for models that need no key and no service."""

from __future__ import annotations

import importlib.util
import json
import secrets
import sys
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import IO, Self

import anyio
import anyio.abc

from llmspell.errors import ProviderError
from llmspell.providers.local_models import local_model
from llmspell.providers.weights import KNOWN, Progress, fetch
from llmspell.values import encodable, is_encodable

START_SECONDS = 60.0
"""A start takes about a second; a large model on a slow disk takes longer."""

_MODULE = "llmspell.providers.llamacpp_process"


class LocalServer:
    """A child process that serves OpenAI's chat protocol on a loopback port.

    The child exits with this process, however that ends. Requests need `api_key`, which keeps out
    other users of the machine.

    Attributes:
        api_key: A random key, to be sent as `Authorization: Bearer …`.
    """

    def __init__(self, model: str = "smollm2", *, progress: Progress | None = None) -> None:
        """Prepare a server; nothing is downloaded or started yet.

        Args:
            model: A local model (see `local_models.py`) or the path of a GGUF file.
            progress: Called with the bytes so far and in total while the model is downloaded.
        """
        self.model = model
        self.api_key = secrets.token_urlsafe(32)
        self._progress = progress
        self._starting = anyio.Lock()
        self._process: anyio.abc.Process | None = None
        self._url = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> str:
        """Start the server and return its base URL, `http://127.0.0.1:PORT/v1`.

        Cheap if it is already running; a server that has died is restarted.

        Raises:
            ProviderError: The extra is not installed, the model is not available, or llama.cpp
                cannot run it.
        """
        async with self._starting:
            if self._process is None or self._process.returncode is not None:
                if importlib.util.find_spec("xllamacpp") is None:
                    raise ProviderError(
                        "local models need the package xllamacpp",
                        hint="run: pip install 'llmspell[local]'",
                    )
                gguf, template = await self._weights()
                await self._end()
                await self._launch(gguf, template)
            return self._url

    async def close(self) -> None:
        """Stop the server; a request in progress fails. A later `start` starts it again.

        If the caller is cancelled, it does not wait for a start in progress.
        """
        try:
            async with self._starting:
                pass
        finally:
            await self._end()

    async def _weights(self) -> tuple[Path, str | None]:
        """Return the model file, and the chat template to use instead of its own."""
        kept = local_model(self.model)
        if kept and self.model not in KNOWN:
            return kept.file, None
        if kept or not self.model.endswith(".gguf"):
            gguf = await fetch(self.model, progress=self._progress)
            template = KNOWN[self.model].template
            return gguf, template and files(__package__).joinpath(template).read_text("utf-8")
        file = await anyio.Path(self.model).expanduser()
        if not await file.is_file():
            raise ProviderError(f"no model file {file}", hint="check the path of the GGUF file")
        return Path(file), None

    async def _launch(self, gguf: Path, template: str | None) -> None:
        if not is_encodable(str(gguf)):
            raise ProviderError(
                f"llama.cpp cannot open {encodable(str(gguf))}: its path is not UTF-8",
                hint="move it to another folder; LLMSPELL_CACHE names that of installed models",
            )
        settings = {
            "name": self.model,
            "model": str(gguf),
            "template": template,
            "api_key": self.api_key,
        }
        with tempfile.TemporaryFile() as log:
            with anyio.CancelScope(shield=True):  # else nobody would wait for what was created
                self._process = process = await anyio.open_process(
                    [sys.executable, "-P", "-m", _MODULE],
                    stderr=log,
                    start_new_session=True,  # Ctrl-C in the terminal must reach only this process
                )
            try:
                with anyio.fail_after(START_SECONDS):
                    self._url = await _handshake(process, settings)
            except (TimeoutError, anyio.EndOfStream, anyio.BrokenResourceError) as error:
                await self._end()
                raise _not_started(gguf, error, log) from error
            except BaseException:
                await self._end()
                raise

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()  # it has no state to lose
            await process.aclose()


async def _handshake(process: anyio.abc.Process, settings: dict[str, str | None]) -> str:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the server's process has no pipes")
    await process.stdin.send(json.dumps(settings).encode() + b"\n")
    line = b""
    while not line.endswith(b"\n"):
        line += await process.stdout.receive()
    return str(json.loads(line)["url"]) + "/v1"


def _not_started(gguf: Path, error: BaseException, log: IO[bytes]) -> ProviderError:
    late = isinstance(error, TimeoutError)
    what = f"is not ready after {START_SECONDS:.0f} s" if late else "could not be started"
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return ProviderError(
        f"the local model {gguf.name} {what}" + (f": {lines[-1]}" if lines else ""),
        hint="is the file a complete GGUF model, and is there enough memory?",
        details={"log": lines[-5:]},
        retryable=late,
    )
