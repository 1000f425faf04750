"""Copies and what leaves a vault: backup, restore, export, import, suppressions."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mnemos.cli import output
from mnemos.cli.options import (
    Settings,
    common,
    example,
    json_option,
    open_memory,
    require_scope,
)

if TYPE_CHECKING:
    from mnemos.app.archives import RestoreReport
    from mnemos.app.importing import ImportReport

LISTED = 10
"""Memories left out of an import that are shown."""

SUPPRESS = click.option(
    "--suppress",
    multiple=True,
    metavar="FILE",
    help="A suppression list, or another vault; what it names stays away. May be repeated.",
)


@click.command(epilog=example("mnemos backup backups/2025-03-04.db --db memory.db"))
@click.argument("path")
@common
def backup(settings: Settings, path: str) -> None:
    """Copy the whole vault to PATH, while others go on writing."""
    with (
        open_memory(replace(settings, no_embedder=True)) as memory,
        output.tally("copying", "row") as advance,
    ):
        copied = memory.backup(path, progress=advance)
    if settings.json:
        output.emit({"path": path} | asdict(copied))
        return
    payloads = f" and {output.plural(copied.blobs, 'large payload')}" if copied.blobs else ""
    output.say(f"copied {output.plural(copied.rows, 'row')}{payloads} to {path}")
    output.say(f"`mnemos restore {path} --to PATH` makes a vault of it again")


@click.command(
    epilog=example(
        "mnemos restore backups/2025-03-04.db --to memory.db --replace",
        "mnemos restore old.db --to new.db --suppress forgotten.jsonl --at 2025-03-01",
    )
)
@click.argument("backup")
@click.option("--to", "path", metavar="PATH", required=True, help="Where the vault is to be.")
@click.option("--at", metavar="MOMENT", help="Roll it back to an ISO time or a position `#17`.")
@SUPPRESS
@click.option("--replace", "replaced", is_flag=True, help="Replace the vault that is at PATH.")
@click.option("--tz", metavar="ZONE", default="UTC", show_default=True, help="Zone of --at.")
@json_option
def restore(
    backup: str,
    path: str,
    at: str | None,
    suppress: tuple[str, ...],
    replaced: bool,
    tz: str,
    json: bool,
) -> None:
    """Make a vault from a BACKUP, less what was forgotten since.

    What was forgotten is known from the vault that is replaced, and from suppression lists.
    """
    from mnemos.app.archives import Archives

    known = bool(suppress) or (replaced and Path(path).exists())
    with output.tally("copying", "row") as advance:
        report = Archives.restore_backup(
            backup,
            path,
            at=at,
            suppress=suppress,
            replace=replaced,
            tz=tz,
            progress=advance,
        )
    if json:
        output.emit(asdict(report))
    else:
        _say_restored(report)
    for why in report.unread:
        output.note(f"{why}; pass --suppress with its list if one was kept")
    if not known:
        output.note(
            "what was forgotten after the backup was made may be back; --suppress names a list "
            "of it (`mnemos suppressions PATH` writes one)"
        )


def _say_restored(report: RestoreReport) -> None:
    payloads = f" and {output.plural(report.blobs, 'large payload')}" if report.blobs else ""
    output.say(f"restored {output.plural(report.rows, 'row')}{payloads} to {report.path}")
    if report.forgotten or report.noted:
        output.say(
            f"forgot again {output.plural(report.forgotten, 'memory', 'memories')}; "
            f"{report.noted:,} more ids are kept away"
        )
    for tenant, position in report.positions.items():
        output.say(f"rolled {tenant!r} back to #{position}")
    if report.positions:
        output.say(f"{output.plural(report.changed, 'memory', 'memories')} changed by that")
    output.say(f"`mnemos verify --db {report.path}` checks it")


@click.command(
    epilog=example(
        "mnemos export ana.jsonl.gz --user ana",
        "mnemos export ana.md --user ana --format markdown",
        "mnemos export to-ben.md --user ana --format markdown --watermark 17 --watermark-key exports.key",
    )
)
@click.argument("path")
@common
@click.option(
    "--format",
    type=click.Choice(["archive", "markdown"]),
    default="archive",
    show_default=True,
    help="archive can be imported, markdown is for people.",
)
@click.option("--watermark", type=int, metavar="N", help="Mark this copy invisibly; markdown only.")
@click.option("--watermark-key", metavar="FILE", help="Key of the mark: `mnemos watermark key`.")
def export(
    settings: Settings, path: str, format: str, watermark: int | None, watermark_key: str | None
) -> None:
    """Write everything known about somebody to PATH.

    It is packed if the name ends in .gz.
    """
    require_scope(settings, "export", "about whom")
    with (
        open_memory(replace(settings, no_embedder=True)) as memory,
        output.tally("writing", "line") as advance,
    ):
        report = memory.export(
            path,
            user_id=settings.user,
            agent_id=settings.agent,
            format=format,
            watermark=watermark,
            watermark_key=watermark_key,
            progress=advance,
        )
    if settings.json:
        output.emit(asdict(report))
        return
    noun = "line" if format == "archive" else "paragraph"
    output.say(
        f"wrote {output.plural(report.written, noun)} about {output.clean(report.subject)} to {path}"
    )


@click.command(
    "import",
    epilog=example(
        "mnemos import ana.jsonl.gz --db other.db",
        "mnemos import ana.jsonl.gz --user bea --suppress forgotten.jsonl",
    ),
)
@click.argument("path")
@common
@SUPPRESS
def import_archive(settings: Settings, path: str, suppress: tuple[str, ...]) -> None:
    """Bring in the memories of an archive `export` wrote.

    What was forgotten stays forgotten, what is there already is not written twice.
    """
    with (
        open_memory(settings, make=True) as memory,
        output.tally("importing", "memory") as advance,
    ):
        report = memory.import_archive(
            path,
            user_id=settings.user,
            agent_id=settings.agent,
            suppress=suppress,
            progress=advance,
        )
    if settings.json:
        output.emit(asdict(report))
    else:
        _say_imported(report)
    if not report.imported:
        output.note("nothing new was imported")


def _say_imported(report: ImportReport) -> None:
    rows = [
        ("imported", f"{len(report.imported):,}"),
        ("there already", f"{len(report.duplicates):,}"),
        ("forgotten before", f"{len(report.suppressed):,}"),
        ("left out", f"{len(report.left_out):,}"),
    ]
    output.say(f"{output.clean(report.subject)}:")
    output.say(output.table(rows, ("what became of them", "memories")))
    for item in report.left_out[:LISTED]:
        why = output.wrap(item.why, output.columns() - 12, 2)
        output.say(f"  line {item.line}: {' '.join(why)}")
    if len(report.left_out) > LISTED:
        output.say(f"  … and {len(report.left_out) - LISTED:,} more; --json names all")


@click.command(epilog=example("mnemos suppressions forgotten.jsonl --db memory.db"))
@click.argument("path")
@common
def suppressions(settings: Settings, path: str) -> None:
    """Write the list of what was forgotten to PATH.

    It holds random ids only; keep it outside: `restore` and `import` take it.
    """
    with open_memory(replace(settings, no_embedder=True)) as memory:
        count = memory.suppressions(path)
    if settings.json:
        output.emit({"path": path, "ids": count})
    else:
        output.say(f"wrote {output.plural(count, 'forgotten id')} to {path}")


COMMANDS: tuple[click.Command, ...] = (backup, restore, export, import_archive, suppressions)
