"""Files that are written whole: who reads one sees the old text or the new, never a part."""

from __future__ import annotations

import os
from pathlib import Path

_USUAL = 0o666  # before the umask, as `open` has it


def replace_file(file: Path, data: bytes, *, mode: int | None = None, durable: bool = True) -> None:
    """Put data in the place of what is in a file, or make it.

    Args:
        file: Its folder is there.
        data: All that it is to hold.
        mode: Who may do what with it; by default as for any new file.
        durable: Whether it has to outlive a power cut as well, which takes longer.

    Raises:
        OSError: It cannot be written; what was there stays.
    """
    new = file.with_name(f".{file.name}.{os.urandom(8).hex()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        with os.fdopen(os.open(new, flags, _USUAL if mode is None else mode), "wb") as out:
            if mode is not None:
                os.fchmod(out.fileno(), mode)  # whatever the umask
            out.write(data)
            if durable:
                out.flush()
                os.fsync(out.fileno())
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
