"""The child process that runs llama.cpp: `python -m llmspell.providers.llamacpp_process`.

It reads one line of JSON from stdin, `{"name", "model", "template", "api_key"}`, loads the
model, and writes one line of JSON to stdout, `{"url"}`, once it accepts requests. It exits when
stdin is closed, which also happens when its parent is killed.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any

CONTEXT = 8192
"""Tokens of a request and its answer together; the context length SmolLM2 was trained for."""
SLOTS = 2
"""Requests processed at once, each with its own context (190 MB with SmolLM2); others wait."""
LONGEST_ANSWER = 512
"""Tokens of an answer if the request sets no limit: small models can repeat themselves forever."""


def main() -> None:
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as ready:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # llama.cpp may print to stdout
        settings = json.loads(sys.stdin.readline())
        threading.Thread(target=_end_with_parent, daemon=True).start()
        try:
            server = _serve(settings)
        except (RuntimeError, ValueError) as error:
            sys.exit(str(error))
        ready.write(json.dumps({"url": server.listening_address}) + "\n")
    threading.Event().wait()


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


def _serve(settings: dict[str, Any]) -> Any:
    """Start a server. It picks its own free port, so that no other process can take it first."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    if settings["template"]:
        params.chat_template = settings["template"]
    params.model_alias = {settings["name"]}
    params.api_keys = [settings["api_key"]]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = CONTEXT * SLOTS
    params.n_parallel = SLOTS
    params.n_predict = LONGEST_ANSWER
    params.cache_ram_mib = 0  # do not keep old prompts besides those in the slots
    params.offline = True
    params.ui = False
    params.endpoint_slots = False
    params.fit_params = False
    params.verbosity = 1  # errors only
    # Threads that wait for a preempted one cost more than they gain: on two busy cores, two
    # threads write 27 tokens a second and one writes 135.
    cpus = _allowed_cpus()
    params.cpuparams.n_threads = max(1, cpus // 2)
    params.cpuparams_batch.n_threads = cpus
    params.cpuparams.poll = params.cpuparams_batch.poll = 0
    return xllamacpp.Server(params)


def _allowed_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


if __name__ == "__main__":
    main()
