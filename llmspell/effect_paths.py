"""Paths of effects: their place in a run.

`0.2/5` is the sixth effect of the third child of the main task; `0.2/5/1` is the second effect that
its handler performed, and `0.2/5.0` a task for a function of the spell that it called. `0.2/5!0/0`
is performed beside it, by a hook for example: a caller that awaits the effect awaits that as well,
but it is not on the effect's behalf.
"""

from __future__ import annotations

from collections.abc import Iterator

BESIDE = "!"


def is_within(path: str, other: str) -> bool:
    """Whether a path is on behalf of another, or beside it, at any depth."""
    return path.startswith((f"{other}/", f"{other}.", f"{other}{BESIDE}"))


def is_on_behalf(path: str, other: str) -> bool:
    """Whether a path is on behalf of another, not beside it."""
    return path.startswith((f"{other}/", f"{other}."))


def is_beside(path: str) -> bool:
    """Whether a path itself is beside an effect, rather than on behalf of something beside one."""
    return path.rfind(BESIDE) > _last_step(path)


def is_task(path: str) -> bool:
    """Whether a path is that of a task, not of an effect."""
    return path.rfind(".") > max(path.rfind("/"), path.rfind(BESIDE))


def all_around(path: str) -> Iterator[str]:
    """Yield the paths that a path is within, innermost first."""
    while path := path[: max(_last_step(path), path.rfind(BESIDE), 0)]:
        yield path


def all_above(path: str) -> Iterator[str]:
    """Yield the paths that a path is on behalf of, innermost first."""
    while path := path[: max(_last_step(path), 0)]:
        yield path


def _last_step(path: str) -> int:
    return max(path.rfind("/"), path.rfind("."))
