"""Atomic file writes: a reader sees the old contents or the new, never a part."""

from __future__ import annotations

import os
from pathlib import Path

_USUAL = 0o666  # before the umask, the default of `open`


def replace_file(file: Path, data: bytes, *, mode: int | None = None, durable: bool = True) -> None:
    """Replace a file's contents atomically, creating the file if needed.

    Args:
        file: The file; its folder must exist.
        data: The complete new contents.
        mode: The permission bits, regardless of the umask; by default those of any new file.
        durable: Whether to fsync, so that the data survives a power cut. This takes longer.

    Raises:
        OSError: The file cannot be written; the old contents remain.
    """
    new = file.with_name(f".{file.name}.{os.urandom(8).hex()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        with os.fdopen(os.open(new, flags, _USUAL if mode is None else mode), "wb") as out:
            if mode is not None:
                os.fchmod(out.fileno(), mode)  # regardless of the umask
            out.write(data)
            if durable:
                out.flush()
                os.fsync(out.fileno())
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
