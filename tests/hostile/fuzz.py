"""Searches for hostile programs that break the sandbox.

    python tests/hostile/fuzz.py --seconds 300
    python tests/hostile/fuzz.py --first 1234 --count 1 --show

A program is identified by its number. A failing one is repeated in isolation, and reduced to the
lines that matter.
"""

# ruff: noqa: T201 - a program, its output is print
from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

from programs import Program, program
from victim_process import VictimProcess

BATCH = 200  # programs per process
PATIENCE = 180  # seconds to reduce one program


def main() -> int:
    options = _options()
    if options.show:
        print(program(options.first).source)
        return 0
    os.nice(15)
    deadline = time.monotonic() + options.seconds
    outcomes: Counter[str] = Counter()
    failures = 0
    for first in range(options.first, options.first + options.count, BATCH):
        last = min(first + BATCH, options.first + options.count)
        for number, problem in _batch(first, last, options.ring, deadline, outcomes):
            failures += 1
            print(f"\nprogram {number}: {problem}", flush=True)
            print(f"{_cut_down(number, options.ring)}\n", flush=True)
        print(f"{outcomes.total()} programs, {failures} failures", flush=True)
        if time.monotonic() > deadline:
            break
    print(", ".join(f"{outcome}: {count}" for outcome, count in outcomes.most_common()))
    return min(failures, 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=300, help="stop after so long")
    parser.add_argument("--count", type=int, default=1 << 40, help="stop after so many programs")
    parser.add_argument("--first", type=int, default=None, help="number of the first program")
    parser.add_argument(
        "--ring", type=int, default=1, choices=(1, 2), help="2: in a worker process"
    )
    parser.add_argument("--show", action="store_true", help="show the first program, and no more")
    options = parser.parse_args()
    if options.first is None:
        options.first = int(time.time()) << 20
    return options


def _batch(
    first: int, last: int, ring: int, deadline: float, outcomes: Counter[str]
) -> Iterator[tuple[int, str]]:
    """Run programs in one process, `last` excluded; yield the failing ones and their problems."""
    with VictimProcess(ring) as process:
        for number in range(first, last):
            verdict = process.take(program(number))
            outcomes[verdict.outcome] += 1
            if verdict.problem:
                yield number, verdict.problem
            if time.monotonic() > deadline:
                break
        if problem := process.end():
            yield number, f"after those from {first} on: {problem}"


def _cut_down(number: int, ring: int) -> str:
    """Return the smallest part found of a program that still fails, as text."""
    deadline = time.monotonic() + PATIENCE
    with VictimProcess(ring) as process:

        def fails(candidate: Program) -> bool:
            verdict = process.take(candidate)
            return (verdict.problem or process.end()) is not None

        found = program(number)
        if not fails(found):
            return "by itself it does not fail"
        small = shrunk(found, fails, until=lambda: time.monotonic() > deadline)
    return f"limits: {small.limits}\nreplies: {small.replies}\n\n{small.source}"


def shrunk(
    found: Program, fails: Callable[[Program], bool], until: Callable[[], bool] = lambda: False
) -> Program:
    """Remove lines that the failure does not need: halves first, then quarters, and so on."""
    lines, size = found.lines, len(found.lines) // 2
    while size:
        at = 0
        while at < len(lines) and not until():
            candidate = replace(found, lines=lines[:at] + lines[at + size :])
            if fails(candidate):
                lines = candidate.lines
            else:
                at += size
        size //= 2
    return replace(found, lines=lines)


if __name__ == "__main__":
    sys.exit(main())
