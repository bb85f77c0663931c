"""Tools for files and folders."""

# ruff: noqa: D417 - `effect` is injected; callers do not give it

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal
from uuid import uuid4

from pydantic import Field

from llmspell.effects import Effect
from llmspell.errors import ToolError
from llmspell.tools.granted_files import (
    check_name_pattern,
    denied_below,
    entries,
    file_status,
    make_folders,
    open_file,
    opened_folder,
    permitted_path,
    translate_errors,
)
from llmspell.tools.tool import tool
from llmspell.values import as_bytes

MAX_FILE = 100_000_000


Kind = Literal["file", "folder", "link", "other"]
_KINDS: dict[int, Kind] = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}


@dataclass(slots=True)
class FileInfo:
    """A file or folder.

    Attributes:
        path: Its path, relative to the current directory if the path given was.
        name: The path's last part.
        kind: "file", "folder", "link" or "other".
        size: In bytes.
        modified: Unix time in seconds.
    """

    path: str
    name: str
    kind: Kind
    size: int
    modified: float


def _info(path: str, name: str, status: os.stat_result) -> FileInfo:
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), "other")
    return FileInfo(path, name, kind, status.st_size, status.st_mtime)


@tool(category="files", reads=["path"], idempotent=True)
def read_file(
    effect: Effect,
    path: str,
    *,
    encoding: Literal["utf-8", "utf-16", "latin-1", "cp1252", "binary"] = "utf-8",
    max_bytes: Annotated[int, Field(ge=1, le=MAX_FILE)] = 10_000_000,
) -> str | bytes:
    """Read a whole file.

    Args:
        path: The file; a relative path starts at the current directory.
        encoding: How its text is encoded, or "binary" for the bytes as they are.
        max_bytes: A larger file is an error.
    """
    place = permitted_path(effect, "read", path, by="read_file")
    with translate_errors("read", path), opened_folder(place.parent) as folder:
        descriptor = open_file(place.name or ".", folder)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(max_bytes + 1)
            size = max(len(data), os.fstat(descriptor).st_size)
    if len(data) > max_bytes:
        raise ToolError(
            f"cannot read {path}: its {size:,} bytes are more than max_bytes = {max_bytes:,}",
            hint=f"give a larger max_bytes, at most {MAX_FILE:,}",
            details={"path": path, "size": size, "max_bytes": max_bytes},
        )
    if encoding == "binary":
        return data
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ToolError(
            f"cannot read {path}: it is not {encoding} text (byte {error.start + 1})",
            hint='give its encoding, or encoding = "binary"',
            details={"path": path, "encoding": encoding},
        ) from error


@tool(category="files", writes=["path"], idempotent=lambda args: not args.get("append"))
def write_file(
    effect: Effect,
    path: str,
    content: str | bytes,
    *,
    append: bool = False,
    create_folders: bool = False,
) -> FileInfo:
    """Write a file, as UTF-8 if the content is text. Returns the same as file_info.

    An existing file is replaced atomically: a write that fails leaves it as it was.

    Args:
        path: The file; a relative path starts at the current directory.
        content: What to write.
        append: Append to the file instead of replacing it.
        create_folders: Create missing parent folders.
    """
    data = as_bytes(content)
    place = permitted_path(effect, "write", path, by="write_file")
    write = _append if append else _replace
    missing = ("its folder does not exist", "create_folders = true creates it")
    with translate_errors("write", path, missing):
        if create_folders:
            make_folders(effect, place.parent, by="write_file")
        with opened_folder(place.parent) as folder:
            return _info(path, place.name, write(place.name or ".", folder, data))


def _replace(name: str, folder: int, data: bytes) -> os.stat_result:
    old = file_status(name, folder)
    if old and not os.access(name, os.W_OK, dir_fd=folder, effective_ids=True):
        raise PermissionError(errno.EACCES, "it is read-only")
    temporary = f".{uuid4().hex}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if old:
                os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
            file.write(data)
            file.flush()
            os.fsync(descriptor)
            status = os.fstat(descriptor)
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(temporary, dir_fd=folder)
        raise
    return status


def _append(name: str, folder: int, data: bytes) -> os.stat_result:
    file_status(name, folder)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(name, flags, 0o666, dir_fd=folder)
    with os.fdopen(descriptor, "ab") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
        return os.fstat(descriptor)


@tool(category="files", reads=["path"], idempotent=True)
def file_info(effect: Effect, path: str) -> FileInfo | None:
    """Get path, name, kind, size and modification time of a file or folder; nil if there is none.

    Args:
        path: The file or folder; a relative path starts at the current directory. Links are
            followed.
    """
    place = permitted_path(effect, "read", path, by="file_info")
    try:
        with translate_errors("inspect", path), opened_folder(place.parent) as folder:
            status = os.stat(place.name or ".", dir_fd=folder, follow_symlinks=False)
    except ToolError as error:
        if error.details["errno"] in ("ENOENT", "ENOTDIR"):
            return None
        raise
    return _info(path, place.name, status)


@tool(category="files", writes=["path"])
def delete_file(effect: Effect, path: str) -> None:
    """Delete a file. Folders and links are not deleted.

    Args:
        path: The file; a relative path starts at the current directory.
    """
    with translate_errors("delete", path):
        is_link = Path(path).is_symlink()
    if is_link:
        raise ToolError(
            f"cannot delete {path}: it is a link",
            hint="to delete the file it points to, use that file's own path",
            details={"path": path},
        )
    place = permitted_path(effect, "write", path, by="delete_file")
    with translate_errors("delete", path), opened_folder(place.parent) as folder:
        name = place.name or "."
        if file_status(name, folder) is None:
            raise FileNotFoundError(errno.ENOENT, "it does not exist")
        os.unlink(name, dir_fd=folder)


@tool(category="files", reads=["path"], idempotent=True)
def list_files(
    effect: Effect,
    path: str = ".",
    *,
    pattern: str = "*",
    recursive: bool = False,
    hidden: bool = False,
    max_results: Annotated[int, Field(ge=1)] = 10_000,
) -> list[FileInfo]:
    """List a folder: path, name, kind, size and modification time of each entry, sorted by path.

    Links are listed, not followed.

    Args:
        path: The folder; a relative path starts at the current directory.
        pattern: Which names to list, such as "*.md": `*` matches any text, `?` any character and
            `[abc]` one of those.
        recursive: Also list the contents of subfolders.
        hidden: Also list names that start with a dot, and the contents of such folders.
        max_results: More results than this are an error.
    """
    place = permitted_path(effect, "read", path, by="list_files")
    check_name_pattern(pattern)
    infos = []
    with translate_errors("list", path), opened_folder(place) as folder:
        denied = denied_below(effect, place)
        for entry in entries(folder, recursive=recursive, hidden=hidden, denied=denied):
            if fnmatchcase(entry.name, pattern):
                infos.append(_info(entry.below(path), entry.name, entry.status))
            if len(infos) > max_results:
                raise ToolError(
                    f"more than max_results = {max_results:,} entries in {path}",
                    hint="give a narrower pattern, another folder or a larger max_results",
                    details={"path": path, "max_results": max_results},
                )
    return sorted(infos, key=lambda info: info.path)
