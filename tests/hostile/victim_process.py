"""Controls a victim.py process."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Self

from programs import Program
from trial import Verdict

VICTIM = Path(__file__).with_name("victim.py")
STUCK_AFTER = 40  # seconds without a verdict
LAST_WORDS = 3000  # characters


class VictimProcess:
    """Gives verdicts on programs. The process is started on demand, and restarted after a crash."""

    def __init__(self, ring: int = 1) -> None:
        self._ring = ring
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def take(self, program: Program) -> Verdict:
        """Run a program in the process, and return the verdict."""
        process = self._process or self._start()
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps(program.as_json()) + "\n")
            process.stdin.flush()
        return self._verdict()

    def end(self) -> str | None:
        """End the process; return what its programs have left behind, if anything."""
        if self._process is None:
            return None
        self._process.stdin.close()
        problem = self._verdict().problem
        self._stop()
        return problem

    def _start(self) -> subprocess.Popen[str]:
        self._errors = TemporaryFile()  # noqa: SIM115 - `_stop` closes it
        self._process = subprocess.Popen(
            # -B, since bytecode of what is imported on demand would count as written by a spell.
            [sys.executable, "-B", str(VICTIM), str(self._ring)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        return self._process

    def _stop(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._listener.join()
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._errors.close()
        self._process = None

    def _listen(self) -> None:
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")

    def _verdict(self) -> Verdict:
        try:
            answer = self._answers.get(timeout=STUCK_AFTER)
        except queue.Empty:
            self._process.send_signal(signal.SIGUSR1)  # it dumps its stack
            time.sleep(1)
            return self._down("stuck", f"no verdict after {STUCK_AFTER} s")
        if answer:
            return Verdict(*json.loads(answer))
        return self._down("crash", f"the process ended with {self._process.wait()}")

    def _down(self, outcome: str, problem: str) -> Verdict:
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip()[-LAST_WORDS:]
        self._stop()
        return Verdict(outcome, f"{problem}:\n{said}" if said else problem, 0)
