"""A recorded run as a tree of tasks and effects with times, the basis of all views of a run.

Leaves are recorded in full; composite effects only as notes with name and time. Tasks are derived
from the paths.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from llmspell.effect_paths import BESIDE, all_above, is_beside
from llmspell.journal.labels import label_of
from llmspell.journal.reader import Reader
from llmspell.journal.records import RecordedEffect, RecordedRun

Kind = Literal["task", "composite", "leaf", "unfinished"]


@dataclass
class Span:
    """A task or an effect.

    Attributes:
        path: Its place in the tree.
        name: The effect's name; "task" for a task.
        label: What it was about: the tool, model, agent or key; "" if unknown.
        outcome: "ok", "error" or "cancelled"; "unfinished" if the run stopped in the middle of it.
        started: Seconds since the run began; `seconds` is how long it took.
        resumed: Whether the run stopped in the middle of it, and did it again when it was resumed.
        effect: The record, for a leaf.
        children: In the order in which they began.
    """

    path: str
    name: str
    label: str = ""
    kind: Kind = "task"
    outcome: str = "ok"
    started: float = 0.0
    seconds: float = 0.0
    resumed: bool = False
    effect: RecordedEffect | None = None
    children: list[Span] = field(default_factory=list)

    @property
    def ended(self) -> float:
        return self.started + self.seconds

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Span]]:
        """Yield this span and all descendants with their depths, in pre-order."""
        yield depth, self
        for child in self.children:
            yield from child.walk(depth + 1)


def spans_of(reader: Reader, run: RecordedRun) -> Span:
    """Return the tree of a run; its root is the main task."""
    known: dict[str, Span] = {}
    for note in reader.composites(run):
        known[note.path] = Span(
            note.path,
            note.name,
            note.label,
            "composite",
            note.kind,
            note.started - run.started,
            note.seconds,
            resumed=note.begun > 1,
        )
    for effect in reader.effects(run):
        known[effect.path] = Span(
            effect.path,
            effect.name,
            label_of(effect.name, effect.args),
            "leaf",
            effect.kind,
            effect.started - run.started,
            effect.seconds,
            effect=effect,
        )
    for begun in reader.begun(run):
        known.setdefault(
            begun.path,
            Span(
                begun.path,
                begun.name,
                label_of(begun.name, begun.args),
                "unfinished",
                "unfinished",
                begun.started - run.started,
            ),
        )
    _name_agents(known)
    return _grown(known)


def _name_agents(known: dict[str, Span]) -> None:
    """Label spans with the names of agents; effects refer to them by the path of their creation."""
    for span in known.values():
        made = known.get(span.label.removeprefix("agent-"))
        if span.label.startswith("agent-") and made is not None and made.label:
            span.label = made.label


def _grown(known: dict[str, Span]) -> Span:
    root = known.setdefault("0", Span("0", "main"))
    for path in list(known):
        _attach(known, path)
    for _, span in root.walk():
        span.children.sort(key=lambda child: (child.started, place_of(child.path)))
    _measure(root)
    return root


def _attach(known: dict[str, Span], path: str) -> None:
    """Attach a span to its parent, creating missing ancestors."""
    while (above := parent_of(path)) is not None:
        missing = above not in known
        if missing:
            known[above] = Span(
                above, "task" if _is_task(above) else "effect", started=known[path].started
            )
        known[above].children.append(known[path])
        if not missing:
            return
        path = above


def _measure(span: Span) -> None:
    """Set the times of tasks, which are not recorded, to cover their children."""
    for child in span.children:
        _measure(child)
    if span.kind == "task" and span.children:
        span.started = min(child.started for child in span.children)
        span.seconds = max(child.ended for child in span.children) - span.started


def parent_of(path: str) -> str | None:
    """Return the path of the parent of a task or effect; None for the main task."""
    above = next(all_above(path), None)
    return above.rpartition(BESIDE)[0] if above and is_beside(above) else above


def _is_task(path: str) -> bool:
    return path.rfind(".") > path.rfind("/") or "/" not in path


def place_of(path: str) -> tuple[int, ...]:
    """Return a sort key for paths."""
    parts = path.replace("/", ".").split(".")
    return tuple(int(part) if part.isascii() and part.isdigit() else 0 for part in parts)
