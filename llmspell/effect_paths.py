"""Paths of effects: where in a run one is.

`0.2/5` is the sixth effect of the third child of the main task; `0.2/5/1` is the second one that its
handler performed, and `0.2/5.0` a task of the spell that it called. `0.2/5!0/0` is performed beside it,
by a hook say: whoever waits for the effect waits for that as well, but it is not on its behalf.
"""

from __future__ import annotations

from collections.abc import Iterator

BESIDE = "!"


def is_within(path: str, other: str) -> bool:
    """Whether what is done at a path is on behalf of another one, or beside that or such."""
    return path.startswith((f"{other}/", f"{other}.", f"{other}{BESIDE}"))


def is_on_behalf(path: str, other: str) -> bool:
    """Whether what is done at a path is on behalf of another one."""
    return path.startswith((f"{other}/", f"{other}."))


def is_beside(path: str) -> bool:
    """Whether a path is of what is beside an effect, and not on behalf of what is."""
    return path.rfind(BESIDE) > _last_step(path)


def is_task(path: str) -> bool:
    """Whether a path is of a task that a spell or an effect began, and not of an effect."""
    return path.rfind(".") > max(path.rfind("/"), path.rfind(BESIDE))


def all_around(path: str) -> Iterator[str]:
    """What a path is within, the nearest first."""
    while path := path[: max(_last_step(path), path.rfind(BESIDE), 0)]:
        yield path


def all_above(path: str) -> Iterator[str]:
    """What a path is on behalf of, the nearest first."""
    while path := path[: max(_last_step(path), 0)]:
        yield path


def _last_step(path: str) -> int:
    return max(path.rfind("/"), path.rfind("."))
