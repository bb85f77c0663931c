"""The command line. Each command is a module of its own, imported only when it runs."""

from __future__ import annotations


def main() -> None:
    """The console script. Handles Ctrl-C from here on, before anything large is imported."""
    from llmspell.cli.interrupt import answer_interrupts

    answer_interrupts()
    import gc
    import sys

    gc.disable()  # until the spell runs: collecting during the imports would take 10 ms

    _prepare_streams()
    from llmspell.cli.commands import command
    from llmspell.cli.error_report import reporting
    from llmspell.stack_room import with_room

    arguments = sys.argv[1:]
    with reporting(debug="--debug" in arguments):
        with_room(lambda: command.main(args=arguments, prog_name="llmspell", standalone_mode=False))


def _prepare_streams() -> None:
    """Open missing standard streams, and let stdout escape text it cannot encode."""
    import io
    import os
    import sys

    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - for good
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
