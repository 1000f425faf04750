"""The embedding model on this machine: ``models list``, ``models add``, ``models path``."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mnemos.cli import output
from mnemos.cli.options import example, json_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from mnemos.models.converted import Manifest

NOTHING = 1
SHORT_NAMES = ("minilm", "all-MiniLM-L6-v2")


@click.group()
def models() -> None:
    """Look after the embedding model: list, add, path."""


@models.command("list", epilog=example("mnemos models list"))
@json_option
def list_models(json: bool) -> int | None:
    """List the converted models. It says where more could come from."""
    from mnemos.app.config import cache_folder
    from mnemos.models import weights

    found = weights.list_models(cache_folder())
    package = weights.package_folder()
    if json:
        output.emit(
            {
                "cache": str(cache_folder()),
                "package": None if package is None else str(package),
                "models": [
                    {
                        "path": str(item.path),
                        "name": item.manifest.name if item.manifest else None,
                        "fingerprint": item.manifest.fingerprint if item.manifest else None,
                        "problem": item.problem,
                    }
                    for item in found
                ],
            }
        )
    elif found:
        rows = [
            (
                item.manifest.name if item.manifest else "?",
                output.size(item.manifest.graph.size) if item.manifest else "",
                output.one_line(item.problem) or "ready",
                item.path.name,
            )
            for item in found
        ]
        output.say(output.table(rows, ("model", "size", "state", "file")))
    if not found:
        way = "from the installed package" if package else "about 90 MB from the hub"
        output.note(f"no model yet; `mnemos models add minilm` takes it {way}")
        return NOTHING
    return None


@models.command("path", epilog=example("mnemos models path"))
@json_option
def path(json: bool) -> None:
    """Print the folder converted models are kept in. MNEMOS_CACHE sets another."""
    from mnemos.app.config import cache_folder

    if json:
        output.emit({"cache": str(cache_folder())})
    else:
        click.echo(cache_folder())


@models.command(
    "add", epilog=example("mnemos models add minilm", "mnemos models add ./all-MiniLM-L6-v2")
)
@click.argument("model", metavar="PATH|minilm")
@click.option("--mirror", metavar="URL", help="A mirror of huggingface.co to download from.")
@json_option
def add(model: str, mirror: str | None, json: bool) -> None:
    """Bring all-MiniLM-L6-v2 here. From a folder, the installed package or the hub."""
    from mnemos.app.config import cache_folder
    from mnemos.models import weights

    cache = cache_folder()
    package = weights.package_folder()
    if model not in SHORT_NAMES:
        source, manifest = model, weights.add_local(Path(model), cache)
    elif package is not None and mirror is None:
        source, manifest = "installed package", weights.add_local(package, cache)
    else:
        source, manifest = mirror or "hub", _download(cache, mirror)
    if json:
        output.emit({"cache": str(cache), "source": source, "fingerprint": manifest.fingerprint})
    else:
        output.say(f"{manifest.name} is ready ({source}): {manifest.fingerprint}")


def _download(cache: Path, mirror: str | None) -> Manifest:
    """Bring the published files, convert them, and drop what was downloaded."""
    import urllib.request

    from mnemos.models import hub, weights

    folder = cache / "download"
    with ExitStack() as stack:
        bars: dict[str, Callable[[int], None]] = {}
        came: dict[str, int] = {}

        def step(name: str, done: int, total: int | None) -> None:
            if name not in bars:
                stack.close()
                bars[name] = stack.enter_context(output.progress(name, total or 0))
            bars[name](done - came.get(name, 0))
            came[name] = done

        hub.download(
            hub.REPOSITORY,
            folder,
            base_url=mirror or hub.HUB,
            proxies=urllib.request.getproxies(),
            progress=step,
        )
    manifest = weights.add_local(folder, cache)
    shutil.rmtree(folder, ignore_errors=True)
    return manifest
