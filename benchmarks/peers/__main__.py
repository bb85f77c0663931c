"""`make bench-peers`: the cost of a call with llmspell and its peers, on one mock server.

The peers have an environment of their own, `.venv-peers`. Figures are CPU ms per call, the least of
several interleaved rounds; what counts is the ratio to bare httpx2 and pydantic in the same run.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import first_piece, many_agents
from benchmarks.peers import journal

HERE = Path(__file__).parent
PEERS_PYTHON = str(HERE.parents[1] / ".venv-peers" / "bin" / "python")
ROUNDS = 2

OURS = ("llmspell", "llmspell, recorded")
NAMES = ("bare", *OURS, "pydantic-ai", "langgraph", "openai-agents", "litellm")
AT_MOST = 1.3  # upper bound, as a multiple of the bare call
OF_PEERS = 1 / 3  # upper bound, as a fraction of the cost of each peer

# Title, model, number of concurrent agents, and calls of each.
KINDS = (
    ("plain, one after another", "plain", 1, 60),
    ("plain, 256 at once", "plain", 256, 1),
    ("50 pieces, one after another", "pieces", 1, 20),
    ("50 pieces, 256 at once", "pieces", 256, 1),
)


@contextmanager
def serving() -> Iterator[str]:
    """Run the mock server in a process of its own; yield its base URL."""
    command = [sys.executable, str(HERE / "server.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        finally:
            server.kill()


def cost(name: str, *arguments: object) -> float:
    python = sys.executable if name in OURS else PEERS_PYTHON
    command = [python, str(HERE / "contestants.py"), name, *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def compare(url: str) -> bool:
    """Print the cost of each; return whether llmspell is within its bounds."""
    kept = True
    for title, model, agents, calls in KINDS:
        least = dict.fromkeys(NAMES, float("inf"))
        for _ in range(ROUNDS):
            for name in NAMES:
                least[name] = min(least[name], cost(name, url, model, agents, calls))
        print(f"\n{title}", flush=True)
        for name, found in least.items():
            print(f"  {name:20} {found:7.3f} ms  {found / least['bare']:6.2f} x bare")
        ours, peers = least[OURS[0]], [least[name] for name in NAMES if name not in ("bare", *OURS)]
        kept &= ours <= AT_MOST * least["bare"] and ours <= OF_PEERS * min(peers)
        share = ours / min(peers)
        print(
            f"  llmspell is {ours / least['bare']:.2f} of bare, {share:.2f} of the cheapest peer",
            flush=True,
        )
    return kept


def main() -> None:
    with serving() as url:
        kept = compare(url)
    print("\nbeside bare calls in one process, and memory over 20,000 calls")
    many_agents.main()
    first_piece.main()
    journal.main(PEERS_PYTHON)
    print(f"\nbounds ({AT_MOST} of bare, a third of each peer): {'kept' if kept else 'NOT kept'}")


if __name__ == "__main__":
    main()
