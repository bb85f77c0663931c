"""Keeps everything but JSON off standard output, for commands with `--json`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout

import click

_RESERVED = "llmspell.reserved_stdout"


@contextmanager
def reserved_stdout() -> Iterator[None]:
    """Send what is written to stdout in the body to stderr.

    That includes what child programs write, such as those that a Python tool starts: they inherit
    the file descriptor.
    """
    stdout, stderr = sys.stdout, sys.stderr
    stdout.flush()
    kept = os.dup(stdout.fileno())
    try:
        os.dup2(stderr.fileno(), stdout.fileno())
        with redirect_stdout(stderr):
            yield
    finally:
        os.dup2(kept, stdout.fileno())
        os.close(kept)


def reserve(context: click.Context, _: click.Parameter, as_json: bool) -> bool:
    """Reserve stdout until `release`: the callback of an option `--json`."""
    if as_json:
        reserved = context.meta[_RESERVED] = ExitStack()
        reserved.enter_context(reserved_stdout())
        context.call_on_close(reserved.close)
    return as_json


def release() -> None:
    """End the reservation, since the JSON is to be written."""
    context = click.get_current_context(silent=True)
    if context and (reserved := context.meta.get(_RESERVED)):
        reserved.close()
