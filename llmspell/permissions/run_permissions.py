"""The permissions of a run, and the checks against them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from copy import copy
from typing import Literal

from llmspell.errors import PermissionDenied
from llmspell.permissions.grants import (
    EVERYTHING,
    NOTHING,
    Grants,
    Kind,
    Need,
    is_always_denied,
)
from llmspell.permissions.paths import place_of
from llmspell.permissions.project_code import ProjectCode
from llmspell.permissions.wording import flag, what_is_done

Reply = Literal["once", "run", "always", "no"]
"""The answer to a request: grant for one effect, for this run, for all runs, or not at all."""

Asker = Callable[[str, Grants], Awaitable[Reply]]
"""Called with who asks, and the requested grants."""


class Permissions:
    """What a run may do, and may still be granted; handlers get it as `run[Permissions]`.

    Attributes:
        granted: What it may do, unless it is denied.
        denied: What it may not do and cannot be granted.
        code: The project's code, which a grant to write an enclosing folder does not cover.
        used: What has been checked and allowed, as resolved paths and hosts of URLs.
    """

    def __init__(
        self,
        granted: Grants,
        denied: Grants = NOTHING,
        *,
        code: ProjectCode | None = None,
        ask: Asker | None = None,
    ) -> None:
        self.granted, self.denied, self.code = granted, denied, code
        self.used: set[Need] = set()
        self._ask = ask
        self._asking = asyncio.Lock()
        self._declined: set[Need] = set()
        self._parent: Permissions | None = None
        self._copied_from: Permissions | None = None

    def within(self, granted: Grants, denied: Grants = NOTHING) -> Permissions:
        """Return the permissions of a child run: what both allow, now and later."""
        child = Permissions(granted, denied)
        child._parent = self
        return child

    def plus(self, more: Grants) -> Permissions:
        """Return a copy with more granted, also in the permissions it is nested in."""
        wider = copy(self)
        wider._copied_from = self  # noqa: SLF001 - same class
        wider.granted = self.granted.merged(more)
        wider._parent = self._parent and self._parent.plus(more)  # noqa: SLF001 - same class
        return wider

    @property
    def extent(self) -> tuple[Grants, ...]:
        """Everything that decides what is allowed: runs with equal extents may do the same."""
        around = self._parent.extent if self._parent else ()
        return (self.granted, self.denied, *around)

    def allows(self, need: Need) -> bool:
        return (
            self._grants(need)
            and not self._forbids(need)
            and (self._parent is None or self._parent.allows(need))
        )

    def denies(self, need: Need) -> bool:
        """Return whether it is denied, so that nothing can grant it."""
        outer = self._parent is not None and self._parent.denies(need)
        return outer or self._forbids(need)

    def _grants(self, need: Need) -> bool:
        targets = self.granted.write
        if need.kind == "write" and targets and self.code and EVERYTHING not in targets:
            place = place_of(need.target)
            targets = self.code.covered(place, targets, self.granted.run or ()) if place else ()
            return Grants(write=targets or None).allows(need)
        return self.granted.allows(need)

    def _forbids(self, need: Need) -> bool:
        return self.denied.forbids(need) or is_always_denied(need)

    def denies_any(self, kind: Kind) -> bool:
        """Return whether anything of a kind is denied."""
        outer = self._parent is not None and self._parent.denies_any(kind)
        return outer or self.denied[kind] is not None

    def check(self, need: Need, *, by: str) -> None:
        """Raise PermissionDenied, with how to grant it, unless the need is allowed.

        `by` names the tool or effect that asks.
        """
        self._check_own(need, by)
        if self._parent is not None:
            self._parent.check(need, by=by)
        self.used.add(Need(need.kind, need.place))

    @property
    def may_ask(self) -> bool:
        """Whether somebody can be asked for what is not granted."""
        return self._parent.may_ask if self._parent is not None else self._ask is not None

    async def obtain(self, need: Need, *, by: str) -> Grants:
        """Get a need allowed, asking if necessary; return what was granted for this effect only.

        Raises:
            PermissionDenied: It was refused, or cannot be asked for.
        """
        if self._parent is not None:
            self._check_own(need, by)
            once = await self._parent.obtain(need, by=by)
        else:
            async with self._asking:  # one answer may settle other pending questions
                once = NOTHING if self.allows(need) else await self._ask_person(need, by)
            self.plus(once).check(need, by=by)
        self.used.add(Need(need.kind, need.place))
        return once

    def grant(self, more: Grants) -> None:
        """Grant more for the rest of the run."""
        if self._copied_from is not None:
            self._copied_from.grant(more)
        self.granted = self.granted.merged(more)

    async def _ask_person(self, need: Need, by: str) -> Grants:
        wanted, key = Grants.of(need), Need(need.kind, need.place)
        if self._ask is None or self.denies(need) or key in self._declined or not key.target:
            return NOTHING
        reply = await self._ask(by, wanted)
        if reply == "no":
            self._declined.add(key)
            return NOTHING
        if reply == "once":
            return wanted
        self.grant(wanted)
        return NOTHING

    def _check_own(self, need: Need, by: str) -> None:
        if self._forbids(need):
            hint = f"--deny-{need.kind}, or {need.kind} under [permissions.deny], forbids it"
            if need.kind == "write":
                hint += "; settings, .llmspell/ and Python that settings name are always denied"
            raise _denied(need, f"{_denial(need, by)}: it is denied", hint=hint)
        if self._grants(need):
            return
        if not need.place:
            why = "it names no host" if need.kind == "net" else "it leads nowhere"
            bare = need.kind == "net" and "://" not in need.target
            written = "write it as https://example.com/" if bare else None
            raise _denied(need, f"{_denial(need, by)}: {why}", hint=written)
        if self._parent is not None:
            hint = f"the spell that runs this one must grant it: grants = {{{need.kind} = …}}"
            raise _denied(need, _denial(need, by), hint=hint)
        typed = need.kind in ("read", "write", "run")  # shown as it was given
        targets = [need.target] if typed else Grants.of(need)[need.kind] or ()
        hint = f"grant it with {flag(need.kind, targets)}"
        why = (
            ": it is code, which a grant of a folder around it does not cover"
            if self.granted.allows(need)
            else ""
        )
        raise _denied(need, f"{_denial(need, by)}{why}", hint=hint)


def _denial(need: Need, by: str) -> str:
    shown = (need.kind == "net" and need.place) or need.target or repr("")
    return f"{by} may not {what_is_done(need.kind, shown)}"


def _denied(need: Need, message: str, *, hint: str | None = None) -> PermissionDenied:
    details = {"kind": need.kind, "target": need.place or need.target}
    return PermissionDenied(message, hint=hint, details=details)
