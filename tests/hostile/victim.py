"""A separate process for hostile programs, as they may crash it: `victim.py RING`.

Standard input has programs as JSON, one per line. Standard output gets a verdict on each, and at
the end of the input one on what they left behind in the process.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import resource
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from programs import Program
from side_effects import Leaks
from trial import Trials, Verdict

MEMORY = 4 << 30
WARM_UP = 20  # programs until everything is loaded


async def main(ring: int) -> None:
    with TemporaryDirectory() as folder:
        leaks = Leaks()
        async with Trials(Path(folder), ring=ring) as trials:
            await trials.warm_up()
            for number, line in enumerate(sys.stdin):
                if number == WARM_UP:
                    leaks.settle()
                answer(await trials.run(Program.from_json(json.loads(line))))
        answer(Verdict("end", leaks.found(), 0))


def answer(verdict: Verdict) -> None:
    ANSWERS.write(json.dumps(verdict) + "\n")
    ANSWERS.flush()


if __name__ == "__main__":
    # Other output, even from C code, must not be mistaken for a verdict.
    ANSWERS = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    asyncio.run(main(int(sys.argv[1])))
