"""Opens files and folders at exactly the place that the grants allowed.

A path is resolved, the resulting place is checked, and that place is then opened one folder at a
time without following links. So a link put in the way meanwhile (TOCTOU) makes the open fail.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from llmspell.effects import Effect
from llmspell.errors import ToolError
from llmspell.permissions import Kind, Need, Permissions
from llmspell.permissions.paths import place_of

MAX_ENTRIES = 100_000

# O_PATH: folders on the way need only be traversable, not listable.
_STEP = os.O_DIRECTORY | os.O_NOFOLLOW | getattr(os, "O_PATH", 0)


def permitted_path(effect: Effect, kind: Kind, path: str, *, by: str) -> Path:
    """Resolve a path, and check that the run's grants allow it to be read or written.

    The grants were checked for `path` before the call, but links may have changed since.

    Raises:
        ToolError: It is a loop of links, or contains a zero byte.
        PermissionDenied: It is not granted.
    """
    place = place_of(path)
    if place is None:
        reason = (
            "a path cannot contain a zero byte" if "\0" in path else "its links lead in a circle"
        )
        raise ToolError(f"cannot {kind} {path!r}: {reason}", details={"path": path})
    effect.run[Permissions].check(Need(kind, str(place)), by=by)
    return place


def denied_below(effect: Effect, place: Path) -> Callable[[str], bool]:
    """Return a predicate: whether reading a path below `place` is denied."""
    permissions = effect.run[Permissions]
    if not permissions.denies_any("read"):
        return lambda _: False
    return lambda path: permissions.denies(Need("read", str(place / path)))


@contextmanager
def opened_folder(place: Path) -> Iterator[int]:
    """Open the folder at a resolved path, and yield its descriptor for use as `dir_fd`."""
    folder = os.open(place.anchor, _STEP)
    try:
        for part in place.parts[1:]:
            inner = os.open(part, _STEP, dir_fd=folder)
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


def open_file(name: str, folder: int) -> int:
    """Open a regular file for reading, and return its descriptor. Raises OSError for others."""
    # O_NONBLOCK: opening a pipe that nobody writes to would block forever.
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):
        os.close(file)
        raise _no_file(status.st_mode)
    if name == "environ" and status.st_dev == _device("/proc"):
        os.close(file)
        raise OSError(errno.ENOTSUP, "it is the environment of a process, which contains its keys")
    return file


def _device(path: str) -> int | None:
    try:
        return os.stat(path).st_dev  # noqa: PTH116 - as in the rest of this file
    except FileNotFoundError:
        return None


def file_status(name: str, folder: int) -> os.stat_result | None:
    """Return a regular file's status; None if it does not exist. Raises OSError for others."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise _no_file(status.st_mode)
    return status


def _no_file(mode: int) -> OSError:
    if stat.S_ISDIR(mode):
        return IsADirectoryError(errno.EISDIR, "it is a folder")
    if stat.S_ISLNK(mode):
        return OSError(errno.ELOOP, "a link was put in its place")
    return OSError(errno.EINVAL, "it is a device, pipe or socket")


def make_folders(effect: Effect, place: Path, *, by: str) -> None:
    """Create the folder at a resolved path and its parents; each needs a write grant."""
    missing = [folder for folder in (place, *place.parents) if not folder.exists()]
    for folder in reversed(missing):
        effect.run[Permissions].check(Need("write", str(folder)), by=by)
        with opened_folder(folder.parent) as parent, suppress(FileExistsError):
            os.mkdir(folder.name, dir_fd=parent)


class Entry(NamedTuple):
    """A file or folder found by `entries`.

    Attributes:
        path: Path relative to the folder being walked, such as `notes/today.md`.
        name: The path's last part.
        folder: Descriptor of its parent folder, valid until the next entry is requested.
        status: Its own status, not that of a link's target.
    """

    path: str
    name: str
    folder: int
    status: os.stat_result

    def below(self, path: str) -> str:
        """Return its path, given the path of the folder being walked."""
        return str(Path(path, self.path))


def check_name_pattern(pattern: str) -> None:
    """Raise ToolError for a pattern with a slash, which can match no name."""
    if "/" in pattern:
        raise ToolError(
            f"the pattern {pattern!r} contains a slash, but it is matched against names only",
            hint='put the folder in path: path = "docs", pattern = "*.md", recursive = true',
            details={"pattern": pattern},
        )


def entries(
    folder: int, *, recursive: bool, hidden: bool, denied: Callable[[str], bool]
) -> Iterator[Entry]:
    """Yield the entries of a folder by name, then, if `recursive`, those of its subfolders.

    Links are not followed. Folders that cannot be listed are not entered, and denied paths are
    skipped.

    Raises:
        ToolError: After `MAX_ENTRIES` entries.
    """
    seen = 0
    for top, folders, files, descriptor in os.fwalk(".", dir_fd=folder, follow_symlinks=False):
        inside = []
        for name in sorted(folders + files):
            path = str(Path(top, name))
            if (hidden or not name.startswith(".")) and not denied(path):
                with suppress(FileNotFoundError):  # deleted since the folder was listed
                    status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                    inside.append(Entry(path, name, descriptor, status))
        seen += len(inside)
        if seen > MAX_ENTRIES:
            raise ToolError(
                f"more than {MAX_ENTRIES:,} files and folders",
                hint="start from a deeper folder",
                details={"limit": MAX_ENTRIES},
            )
        yield from inside
        inner = [entry.name for entry in inside if stat.S_ISDIR(entry.status.st_mode)]
        folders[:] = inner if recursive else []


@contextmanager
def translate_errors(verb: str, path: str, missing: _Reason | None = None) -> Iterator[None]:
    """Turn an OSError into a ToolError that says what could not be done to which path.

    `missing` is the reason and hint to use when something does not exist.
    """
    try:
        yield
    except OSError as error:
        reason, hint = _REASONS.get(error.errno or 0, (str(error.strerror or error), None))
        if missing and error.errno == errno.ENOENT:
            reason, hint = missing
        if hint is not None:
            hint = hint.format(here=Path.cwd())
        name = errno.errorcode.get(error.errno or 0, type(error).__name__)
        raise ToolError(
            f"cannot {verb} {path}: {reason}", hint=hint, details={"path": path, "errno": name}
        ) from error


_Reason = tuple[str, str | None]
_REASONS: dict[int, _Reason] = {
    errno.ENOENT: ("it does not exist", "relative paths start at {here}"),
    errno.EISDIR: ("it is a folder", "list_files shows what is in a folder"),
    errno.ENOTDIR: ("it, or a part of its path, is not a folder", None),
    errno.ELOOP: ("a link was put in its place", None),
    errno.EACCES: ("the operating system does not permit it", None),
    errno.EPERM: ("the operating system does not permit it", None),
    errno.ENOSPC: ("the disk is full", "the previous contents are intact"),
}
