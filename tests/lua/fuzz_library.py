"""Compares random library calls with plain Lua: `python tests/lua/fuzz_library.py N [seed]`."""

# ruff: noqa: T201 - a program, its output is print
from __future__ import annotations

import sys
from random import Random

from library_cases import Plain, call, disagreements, states

BATCH = 200


def main(count: int, seed: int) -> int:
    rng, plain, others, found = Random(seed), Plain(), states(), 0
    for done in range(0, count, BATCH):
        for problem in disagreements([call(rng) for _ in range(BATCH)], plain, others):
            print(problem)
            found += 1
        if done % 20000 == 0:
            print(f"{done} of {count} cases, {found} disagreements", flush=True)
    print(f"{count} cases, {found} disagreements")
    return min(found, 1)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1))
