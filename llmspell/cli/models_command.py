"""`llmspell models`: list, pull and remove the models that run on this machine."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from llmspell.cli.common import debug_option, is_for_subcommand, json_option, print_json
from llmspell.cli.error_report import Misuse
from llmspell.cli.interrupt import interruptible
from llmspell.cli.output import size
from llmspell.cli.progress import Progress
from llmspell.cli.provider_check import open_provider
from llmspell.providers.local_models import (
    LocalModel,
    add_model,
    local_model,
    local_models,
    remove_model,
)
from llmspell.runtime import Runtime


@click.group("models", invoke_without_command=True)
@click.option("--provider", metavar="NAME", help="List the models of this provider instead.")
@json_option()
@debug_option
@click.pass_context
def command(
    context: click.Context,
    provider: str | None,
    as_json: bool,
) -> None:
    """List, pull and remove the models that run on this machine."""
    if is_for_subcommand(context):
        return
    if provider and provider != "local":
        names = [f"{provider}/{name}" for name in asyncio.run(_offered(provider))]
        if as_json:
            print_json(names)
        else:
            print("\n".join(names))
        return
    found = local_models()
    if as_json:
        print_json([_as_json(one) for one in found])
        return
    width = max(len(one.name) for one in found)
    for one in found:
        print(f"local/{one.name:<{width}}  {_standing(one)}")


@command.command("pull")
@click.argument("model")
@click.option("--name", metavar="NAME", help="Name of the model; by default, that of the file.")
@debug_option
def pull(model: str, name: str | None) -> None:
    """Install a model.

    Downloads MODEL if llmspell knows it, or copies it if it is a GGUF file.
    """
    model = model.removeprefix("local/")
    file = Path(model).expanduser()
    if file.suffix.lower() == ".gguf":
        kept = add_model(file, name or file.stem)
    elif name:
        raise Misuse(f"{model} already has a name", hint="--name is for GGUF files only")
    else:
        with interruptible():
            asyncio.run(_download(model))
        kept = local_model(model) or LocalModel(model, file, None)
    print(f"local/{kept.name}  {_standing(kept)}")


@command.command("remove")
@click.argument("model")
@debug_option
def remove(model: str) -> None:
    """Delete a model from this machine."""
    kept = remove_model(model.removeprefix("local/"))
    print(f"removed local/{kept.name}: {size(kept.size or 0)} in {kept.file}")


async def _offered(provider: str) -> list[str]:
    async with Runtime() as runtime:
        open_provider(runtime.models, provider)
        return await runtime.models.offered(provider)


async def _download(name: str) -> None:
    import sys

    from llmspell.providers.weights import fetch

    with Progress(shown=sys.stderr.isatty()) as progress:
        await fetch(name, progress=progress.download)


def _standing(one: LocalModel) -> str:
    if one.size is not None:
        return f"{size(one.size)}  {one.file}"
    return f"not downloaded yet; {size(one.download or 0)} will be downloaded on first use"


def _as_json(one: LocalModel) -> dict[str, object]:
    return {
        "model": f"local/{one.name}",
        "file": str(one.file),
        "bytes": one.size,
        "download_bytes": one.download,
    }
