"""Reports the results of tests."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from llmspell.cli.common import print_json
from llmspell.cli.output import harmless
from llmspell.spending.spent import counted
from llmspell.testing.results import Failure, LuaFileResult, LuaTestResult, Status

_SIGNS: dict[Status, tuple[str, str]] = {
    "passed": ("✓", "green"),
    "failed": ("✗", "red"),
    "skipped": ("-", "yellow"),
}


class TestReporter:
    """Prints each test as it ends; in a pipe, `show_results` prints only the failures."""

    def __init__(self, *, shown: bool, quiet: bool) -> None:
        self._shown, self._quiet = shown and not quiet, quiet

    def begin(self, file: Path) -> None:
        if self._shown:
            click.secho(_display(file), bold=True)

    def tell(self, test: LuaTestResult) -> None:
        if self._shown:
            sign, colour = _SIGNS[test.status]
            took = f"  {test.seconds * 1000:.0f} ms" if test.seconds > 0.1 else ""  # noqa: PLR2004
            click.echo(f"  {click.style(sign, fg=colour)} {harmless(test.name)}{took}")

    def print(self, line: str | bytes) -> None:
        """Print output of a test file itself."""
        text = line if isinstance(line, str) else line.decode("utf-8", "replace")
        click.echo(text, err=self._quiet)

    def end(self, file: LuaFileResult) -> None:
        if self._shown and file.failure:
            click.echo(f"  {click.style('✗', fg='red')} the file failed")


def show_results(results: Sequence[LuaFileResult], *, as_json: bool) -> None:
    """Print the failures with their places, and the totals."""
    if as_json:
        print_json([_as_table(result) for result in results])
        return
    for name, failure in _failures(results):
        click.echo()
        click.secho(harmless(f"✗ {name}"), fg="red")
        _show(failure)
    counts: dict[Status, int] = {s: sum(result.count(s) for result in results) for s in _SIGNS}
    told = [f"{number} {status}" for status, number in counts.items() if number]
    snapshots = sum(result.written for result in results)
    stale = sum(result.stale for result in results)
    told += [f"{counted(snapshots, 'snapshot')} written"] if snapshots else []
    told += [f"{counted(stale, 'snapshot')} removed"] if stale else []
    click.secho(", ".join(told) or "no tests were run", fg="red" if counts["failed"] else "green")


def _show(failure: Failure) -> None:
    first, *more = harmless(failure.message).split("\n")
    click.echo(f"  {failure.where}: {first}" if failure.where else f"  {first}")
    for line in more:
        colour = {"-": "red", "+": "green"}.get(line[:1])
        click.secho(f"    {line}", fg=colour)
    if failure.line:
        click.echo(f"    | {harmless(failure.line)}")
    if failure.hint:
        click.echo(f"  hint: {harmless(failure.hint)}")


def _failures(results: Sequence[LuaFileResult]) -> Iterator[tuple[str, Failure]]:
    for result in results:
        file = _display(result.path)
        for test in result.tests:
            if test.failure:
                yield f"{file}: {test.name}", test.failure
        if result.failure:
            yield file, result.failure


def _as_table(result: LuaFileResult) -> dict[str, Any]:
    tests = [
        {"name": t.name, "status": t.status, "seconds": round(t.seconds, 6)}
        | ({"failure": vars(t.failure)} if t.failure else {})
        for t in result.tests
    ]
    table: dict[str, Any] = {"file": _display(result.path), "tests": tests}
    return table | ({"failure": vars(result.failure)} if result.failure else {})


def write_junit(results: Sequence[LuaFileResult], file: Path) -> None:
    """Write the results in the JUnit format, which most CI services read."""
    from xml.etree.ElementTree import Element, ElementTree, SubElement

    root = Element("testsuites")
    for result in results:
        counts = {
            "tests": len(result.tests),
            "failures": sum(test.status == "failed" for test in result.tests),
            "skipped": result.count("skipped"),
            "errors": int(result.failure is not None),
        }
        numbers = {name: str(number) for name, number in counts.items()}
        suite = SubElement(root, "testsuite", numbers | {"name": _display(result.path)})
        for test in result.tests:
            where = {"classname": _display(result.path), "time": f"{test.seconds:.3f}"}
            case = SubElement(suite, "testcase", where | {"name": _in_xml(test.name)})
            if test.status == "skipped":
                SubElement(case, "skipped")
            if test.failure:
                _add_failure(case, test.failure, "failure")
        if result.failure:
            case = SubElement(suite, "testcase", name="the file", classname=_display(result.path))
            _add_failure(case, result.failure, "error")
    ElementTree(root).write(file, "utf-8", xml_declaration=True)


def _add_failure(case: Any, failure: Failure, kind: str) -> None:
    from xml.etree.ElementTree import SubElement

    message = _in_xml(failure.message)
    text = f"{failure.where}: {message}" if failure.where else message
    SubElement(case, kind, message=message.split("\n")[0]).text = text


_NOT_IN_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _in_xml(text: str) -> str:
    """Escape characters that XML cannot represent, or would not preserve."""
    return _NOT_IN_XML.sub(lambda found: ascii(found[0])[1:-1], text)


def _display(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
