"""`llmspell state`: read, change, export and import the project's state."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from llmspell.cli.common import debug_option, json_option, print_json
from llmspell.cli.error_report import Misuse
from llmspell.cli.limits import read_seconds
from llmspell.cli.output import for_people, harmless, write_line
from llmspell.cli.reserved_stdout import release
from llmspell.concurrency import settled
from llmspell.config import find_project
from llmspell.errors import StateError
from llmspell.state import MemoryStore, SqliteStore, Store
from llmspell.state.encoding import encode
from llmspell.state.transfer import value_from_json
from llmspell.suggestions import did_you_mean
from llmspell.values import Value, text_or_bytes

T = TypeVar("T")

_WIDEST = 60


def _in_store(use: Callable[[Store], Awaitable[T]], *, to_write: bool = False) -> T:
    """Return what `use` returns for the project's store, which is not created just to be read."""
    project = find_project()
    settings = project.settings.state
    if settings.backend == "memory":
        raise Misuse(
            "this project keeps its state in memory, and only while a spell runs",
            hint='keep it in a file with backend = "sqlite" under [state] in llmspell.toml',
        )
    if settings.backend != "sqlite":
        raise Misuse(
            f"this project keeps its state in {settings.backend}, which a plugin provides",
            hint="only spells can access it, with State",
        )

    async def open_and_use() -> T:
        store: Store = MemoryStore()
        if to_write or project.state_file.exists():
            store = SqliteStore(project.state_file, settings.synchronous)
        try:
            return await use(store)
        finally:
            await store.close()

    return asyncio.run(open_and_use())


_scope = click.option("--scope", metavar="NAME", help="Use the keys of this scope.")


@click.group("state")
def command() -> None:
    """Read, change, export and import the project's state."""


@command.command("get")
@click.argument("key")
@_scope
@json_option("Print the exact value as one line of JSON.")
@debug_option
def get(key: str, scope: str | None, as_json: bool) -> None:
    """Print the value of a key.

    Text and bytes are printed as they are, anything else as JSON.
    """

    async def read(store: Store) -> Value:
        value = await settled(store.get(scope or "", key))
        if value is None:
            raise await _no_key(store, scope or "", key)
        return value

    value = _in_store(read)
    release()
    if isinstance(value, bytes) and not as_json:
        sys.stdout.buffer.write(value)
    else:
        write_line(sys.stdout, encode(value) if as_json else for_people(value))


@command.command("set", context_settings={"ignore_unknown_options": True})  # -5 is a value
@click.argument("key")
@click.argument("value")
@_scope
@json_option("VALUE is JSON, as `get --json` prints it.")
@click.option(
    "--ttl",
    callback=read_seconds,
    metavar="DURATION",
    help="Delete the value after this time, such as 5m.",
)
@debug_option
def put(key: str, value: str, scope: str | None, as_json: bool, ttl: float | None) -> None:
    """Store text, or JSON, under a key. `-` for VALUE reads standard input."""
    content = sys.stdin.buffer.read() if value == "-" else os.fsencode(value)
    stored = (
        value_from_json(_parsed(content, "the value", hint='write text in quotes: "text"'))
        if as_json
        else text_or_bytes(content)
    )
    _in_store(lambda s: settled(s.set(scope or "", key, stored, ttl)), to_write=True)


@command.command("list")
@click.argument("pattern", default="*")
@_scope
@json_option("Print JSON, with complete values.")
@debug_option
def listing(pattern: str, scope: str | None, as_json: bool) -> None:
    """List keys and their values, of every scope by default.

    PATTERN may contain `*`; without it, all keys are listed.
    """
    from fnmatch import fnmatchcase

    scopes = _in_store(lambda store: settled(store.export(scope)))["scopes"]
    rows = [
        {"scope": name, "key": key, **entry}
        for name, keys in scopes.items()
        for key, entry in keys.items()
        if fnmatchcase(key, pattern)
    ]
    if as_json:
        print_json(rows)
        return
    width = max((len(_shown(row["key"])) for row in rows), default=0)
    heading = ""
    for row in rows:
        if row["scope"] != heading:
            heading = row["scope"]
            click.secho(_shown(heading), bold=True)
        print(f"{'  ' if heading else ''}{_shown(row['key']):<{width}}  {harmless(_line(row))}")


@command.command("delete")
@click.argument("key")
@_scope
@debug_option
def delete(key: str, scope: str | None) -> None:
    """Delete a key."""

    async def remove(store: Store) -> None:
        if not await settled(store.delete(scope or "", key)):
            raise await _no_key(store, scope or "", key)

    _in_store(remove)


@command.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), default="-")
@_scope
@debug_option
def export(file: Path, scope: str | None) -> None:
    """Export everything, or one scope, as JSON.

    Without FILE, it goes to standard output.
    """
    document = _in_store(lambda store: settled(store.export(scope)))
    text = json.dumps(document, ensure_ascii=False, indent=2)
    if str(file) == "-":
        write_line(sys.stdout, text)
    else:
        file.write_text(f"{text}\n", "utf-8")


@command.command("import")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@_scope
@click.option("--replace", is_flag=True, help="Delete existing keys first.")
@debug_option
def import_(file: Path, scope: str | None, replace: bool) -> None:
    """Import what `export` wrote, all of it or nothing. `-` reads standard input."""
    content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    document = _parsed(content, str(file), hint="import what `llmspell state export` wrote")
    number = _in_store(
        lambda store: settled(store.import_(document, scope=scope, replace=replace)), to_write=True
    )
    print(f"{number} {'key' if number == 1 else 'keys'} imported")


async def _no_key(store: Store, scope: str, key: str) -> StateError:
    known = await settled(store.keys(scope))
    place = f" in the scope {scope!r}" if scope else ""
    return StateError(
        f"no key {key!r}{place}",
        hint=did_you_mean(key, known, otherwise="see: llmspell state list"),
    )


def _parsed(content: bytes, place: str, *, hint: str) -> Value:
    try:
        parsed: Value = json.loads(content)
    except RecursionError:
        raise Misuse(f"{place} is nested too deeply", hint="the maximum is 64 levels") from None
    except ValueError as error:
        raise Misuse(f"{place} is not valid JSON: {error}", hint=hint) from error
    return parsed


def _line(row: dict[str, Any]) -> str:
    """Format a value and its remaining lifetime on one line, whatever the value."""
    import time

    text = json.dumps(row["value"], ensure_ascii=False)
    text = text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
    expires = row.get("expires")
    return f"{text}  for {expires - time.time():,.0f} s" if expires else text


def _shown(name: str) -> str:
    return name if name.isprintable() else json.dumps(name)
