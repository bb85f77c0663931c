"""Matches regular expressions for `regex.py`, which runs this file as a separate process.

Standard input and output carry one JSON value per line: first `{pattern, flags, seconds}`,
answered by `{error}` (null if the pattern is valid); then any number of `{texts, each, limit,
size}`, each answered by `{matches}`, a list of `[index of the text, spans, names]`, or `{error}`.
"""

import json
import re
import resource
import sys
from itertools import islice
from typing import Any

MEMORY = 1 << 29


def find(pattern: re.Pattern[str], job: dict[str, Any]) -> dict[str, Any]:
    matches: list[Any] = []
    size = 0
    for index, text in enumerate(job["texts"]):
        for match in islice(pattern.finditer(text), job["each"]):
            spans = match.regs
            size += sum(end - start for start, end in spans)
            if size > job["size"]:
                return {"error": f"the matches of the pattern exceed {job['size']:,} characters"}
            matches.append((index, spans))
            if len(matches) == job["limit"]:
                return {"matches": matches}
    return {"matches": matches}


def main() -> None:
    setup = json.loads(sys.stdin.readline())
    # A match that hangs must end even if the parent is gone.
    resource.setrlimit(resource.RLIMIT_CPU, (setup["seconds"], setup["seconds"]))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        pattern = re.compile(setup["pattern"], setup["flags"])
    except (re.error, OverflowError, RecursionError) as error:
        answer({"error": str(error)})
        return
    answer({"error": None, "names": dict(pattern.groupindex)})
    for line in sys.stdin:
        answer(find(pattern, json.loads(line)))


def answer(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
