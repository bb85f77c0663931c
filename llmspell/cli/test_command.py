"""`llmspell test`: runs the tests of spells."""

from __future__ import annotations

import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

import click

from llmspell.cli.error_report import FAILED, Misuse
from llmspell.cli.grants import grant_options
from llmspell.cli.interrupt import interruptible
from llmspell.cli.limits import budget_option, limit_option, read_seconds
from llmspell.cli.options import GrantingCommand, RunOptions
from llmspell.cli.reserved_stdout import reserve
from llmspell.cli.test_report import TestReporter, show_results, write_junit
from llmspell.config import find_project
from llmspell.testing.results import LuaFileResult


def _test(paths: tuple[str, ...], **values: Any) -> None:
    from llmspell.testing import virtual_time
    from llmspell.testing.lua_file_run import Plan
    from llmspell.testing.lua_files import SUFFIX, find_tests

    project = find_project()
    files = find_tests([Path(path) for path in paths] or [project.root])
    if not files:
        raise Misuse(f"no tests found: no file name ends in {SUFFIX}", hint="see docs/testing.md")
    plan = Plan(
        filter=values["filter"] or "",
        update=values["update"],
        patience=values["timeout"],
        fail_fast=values["fail_fast"],
    )
    options = RunOptions.of(values)
    progress = TestReporter(shown=sys.stdout.isatty() or options.verbose, quiet=values["as_json"])
    printing = redirect_stdout(sys.stderr) if values["as_json"] else nullcontext()
    with interruptible(), printing:
        results = virtual_time.run(_run(files, plan, options, progress))
    if plan.filter and not any(result.tests or result.failure for result in results):
        raise Misuse(
            f"no test has {plan.filter!r} in its name", hint="list them with: llmspell test -v"
        )
    show_results(results, as_json=values["as_json"])
    if values["junit"]:
        write_junit(results, Path(values["junit"]))
    if any(result.count("failed") for result in results):
        sys.stdout.flush()
        sys.exit(FAILED)


async def _run(
    files: list[Path], plan: Any, options: RunOptions, progress: TestReporter
) -> list[LuaFileResult]:
    from llmspell.testing.lua_files import run_tests

    results: list[LuaFileResult] = []
    runtime = options.runtime_arguments()
    project = runtime.pop("project")
    for file in files:
        progress.begin(file)
        found = await run_tests(
            file, project, plan, tell=progress.tell, output=progress.print, **runtime
        )
        progress.end(found)
        results.append(found)
        if plan.fail_fast and found.count("failed"):
            break
    return results


command = GrantingCommand(
    "test",
    callback=_test,
    params=[
        click.Argument(["paths"], nargs=-1),
        click.Option(
            ["-f", "--filter"], metavar="TEXT", help="Run only tests whose name contains the text."
        ),
        click.Option(["--update"], is_flag=True, help="Replace the snapshots that differ."),
        click.Option(["-x", "--fail-fast"], is_flag=True, help="Stop after the first failure."),
        click.Option(
            ["--timeout"],
            callback=read_seconds,
            default="60",
            metavar="DURATION",
            help="Maximum time per test, such as 5m.",
        ),
        click.Option(
            ["--json", "as_json"],
            is_flag=True,
            callback=reserve,
            help="Print the results as JSON.",
        ),
        click.Option(["--junit"], metavar="FILE", help="Also write the results as JUnit XML."),
        *grant_options(),
        limit_option(),
        budget_option(),
        click.Option(
            ["-v", "--verbose"],
            is_flag=True,
            help="List every test, even if the output is not a terminal.",
        ),
        click.Option(["--debug"], is_flag=True, help="Show Python tracebacks of errors."),
    ],
    help="Run the tests of spells.\n\nPATHS are test files, or folders with files named …_test.lua. "
    "Without any, all tests of the project are run.",
)
