"""The start-up time of the command line, compared with importing its unavoidable dependencies.

Runs are interleaved and the least time counts, so that load on the machine matters little. Bytecode
is cached, as in an installed package, whatever the settings of this process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 30
COMMANDS = {
    "import click, lupa.lua55, asyncio": ["-c", "import click, lupa.lua55, asyncio"],
    "llmspell exec 'print(1)'": ["-m", "llmspell", "exec", "print(1)"],
    "llmspell version": ["-m", "llmspell", "version"],
}


def seconds(arguments: list[str], folder: Path) -> float:
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environ = {**kept, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments], check=True, capture_output=True, cwd=folder, env=environ
    )
    return time.perf_counter() - start


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for arguments in COMMANDS.values():
            seconds(arguments, folder)  # to compile the bytecode
        turns = [{w: seconds(a, folder) for w, a in COMMANDS.items()} for _ in range(RUNS)]
    least = {what: min(turn[what] for turn in turns) for what in COMMANDS}
    baseline = next(iter(least.values()))
    for what, time_taken in least.items():
        print(f"{what:<36} {time_taken * 1e3:6.1f} ms {time_taken / baseline:6.2f}")


if __name__ == "__main__":
    main()
