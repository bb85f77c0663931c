"""The command line. Each command is a file of its own, imported when it runs."""

from __future__ import annotations


def main() -> None:
    """The console script. Ctrl-C is answered from here on, before anything large is imported."""
    from llmspell.cli.interrupt import answer_interrupts

    answer_interrupts()
    import gc
    import sys

    gc.disable()  # until the spell runs: looking for garbage among what is imported takes 10 ms

    from llmspell.cli.commands import command
    from llmspell.cli.report import reporting

    arguments = sys.argv[1:]
    with reporting(debug="--debug" in arguments):
        command.main(args=arguments, prog_name="llmspell", standalone_mode=False)
