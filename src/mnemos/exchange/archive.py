"""The archive of one subject, ``mnemos-archive-1``: what a person may take along.

One JSON Lines file: a header, then everything the vault holds about the subject, one thing a
line. The times, actors and positions say how it stood in the vault it comes from; an import
writes the versions anew, under the same ids.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from mnemos.errors import InvalidInput, MnemosError
from mnemos.exchange.sealed_lines import SealedLines, read_sealed
from mnemos.kernel.canonical import (
    decode_header,
    decode_payload,
    encode_header,
    encode_payload,
    moment,
)
from mnemos.kernel.copies.disclosure import Disclosure, Recorded
from mnemos.types import Header, Payload, State

FORMAT = "mnemos-archive-1"

Progress = Callable[[int], None]

_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchiveHeader:
    """What the first line of an archive says.

    Parameters
    ----------
    tenant, subject : str
        About whom it is.
    exported_at : str
        ISO time.
    seq, head : int, str
        Where the journal stood, and its hash.
    counts : mapping of str to int
        How many memories and versions there are.
    """

    tenant: str
    subject: str
    exported_at: str
    seq: int
    head: str
    counts: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Archived:
    """One version of a memory as an archive holds it; ``line`` is where, for error messages.

    ``current`` is False for the last version of a memory that had none any more.
    """

    line: int
    id: str
    version: int
    state: State
    branch: str | None
    current: bool
    header: Header
    payload: Payload


def write_archive(
    file: IO[bytes],
    found: Disclosure,
    *,
    exported_at: datetime,
    progress: Progress | None = None,
) -> int:
    """Write everything about a subject; return the number of lines.

    Parameters
    ----------
    file : binary file
        Where to; the caller syncs and names it.
    found : Disclosure
        What the vault holds.
    exported_at : datetime
        The present.
    progress : callable or None
        Called with 1 after every line.
    """
    lines = SealedLines(file)
    for value in _values(found, exported_at):
        lines.write(value)
        if progress is not None:
            progress(1)
    lines.end()
    return lines.lines


def _values(found: Disclosure, exported_at: datetime) -> Iterator[dict[str, Any]]:
    yield {
        "format": FORMAT,
        "tenant": found.tenant,
        "subject": found.subject,
        "exported_at": exported_at.isoformat(),
        "journal": {"seq": found.head.seq, "head": found.head.hash.hex()},
        "counts": {"memories": len(found.cubes())},
    }
    for version in found.versions():
        yield _version(version)
    yield from _of_time(found)
    yield from _of_use(found)
    yield from _of_governance(found)
    for event in found.events():
        yield {
            "type": "event",
            "seq": event.seq,
            "at": moment(event.at).isoformat(),
            "verb": event.verb,
            "actor": found.actors.get(event.actor, ""),
            "id": event.cube,
            "branch": found.branch_name(event.branch),
            "state": event.state,
        }


def _version(version: Recorded) -> dict[str, Any]:
    value = {
        "type": "version",
        "id": version.id,
        "version": version.version,
        "state": version.state.value,
        "verb": version.verb,
        "actor": version.actor,
        "recorded_at": version.recorded_at.isoformat(),
        "recorded_seq": version.recorded_seq,
        "retired_seq": version.retired_seq,
        "header": encode_header(version.header),
        "payload": encode_payload(version.payload),
    }
    return value if version.branch is None else value | {"branch": version.branch}


def _of_time(found: Disclosure) -> Iterator[dict[str, Any]]:
    for branch in found.branches.values():
        yield {
            "type": "branch",
            "id": branch.branch,
            "name": branch.name,
            "parent": found.branch_name(branch.parent),
            "seq": branch.fork,
            "merged": branch.merged,
        }
    for row in found.snapshots():
        name = found.branch_name(row.branch)
        yield {"type": "snapshot", "id": row.id, "name": row.name, "seq": row.at, "branch": name}
    for row in found.policies():
        policy = json.loads(row.body)
        yield {"type": "policy", "id": row.id, "kind": row.kind or None, "policy": policy}


def _of_use(found: Disclosure) -> Iterator[dict[str, Any]]:
    for id, row in found.usage():
        yield {
            "type": "usage",
            "id": id,
            "reads": row.reads,
            "first": moment(row.first).isoformat(),
            "last": moment(row.last).isoformat(),
        }
    budget = found.budget()
    if budget is not None:
        yield {"type": "budget", **dict(zip(budget._fields[2:], budget[2:], strict=True))}
    for row in found.spent():
        yield {"type": "spent", **dict(zip(row._fields[2:], row[2:], strict=True))}
    for job in found.jobs():
        due = moment(job.due).isoformat()
        yield {"type": "job", "job": job.job, "kind": job.kind, "state": job.state, "due": due}


def _of_governance(found: Disclosure) -> Iterator[dict[str, Any]]:
    for row in found.rules():
        value = json.loads(row.body)
        yield {"type": "rule", "id": row.id, "sort": row.sort, "name": row.name, "value": value}
    for event, value in found.read_notes():
        at = moment(event.at).isoformat()
        yield {"type": "read", "seq": event.seq, "at": at, **value}
    for count in found.read_counts():
        yield {"type": "reads", **dict(zip(count._fields[2:], count[2:], strict=True))}


# ----------------------------------------------------------------------------------- reading


def read_header(path: Path) -> ArchiveHeader:
    """Return what the first line of an archive says.

    Raises
    ------
    InvalidInput
        If it is no archive of this format.
    """
    value = next((value for _, value in read_sealed(path)), dict[str, Any]())
    if value.get("format") != FORMAT:
        raise InvalidInput(
            f"{path.name}, line 1: not the header of an archive; its format must be {FORMAT!r}"
        )
    try:
        return ArchiveHeader(
            tenant=str(value["tenant"]),
            subject=str(value["subject"]),
            exported_at=str(value["exported_at"]),
            seq=int(value["journal"]["seq"]),
            head=str(value["journal"]["head"]),
            counts=dict(value["counts"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"{path.name}, line 1: the header lacks {error}") from error


def read_archive(path: Path) -> Iterator[Archived]:
    """Yield the versions of an archive, memory by memory, the versions of each in order.

    Raises
    ------
    InvalidInput
        If a line is damaged, out of order or missing; the message names it.
    """
    read_header(path)
    for number, value in read_sealed(path):
        if value.get("type") == "version":
            try:
                yield _archived(number, value)
            except (AttributeError, KeyError, TypeError, ValueError, MnemosError) as error:
                raise InvalidInput(
                    f"{path.name}, line {number}: this version cannot be read ({error})"
                ) from error


def _archived(number: int, value: Mapping[str, Any]) -> Archived:
    id = value["id"]
    if not isinstance(id, str) or not _ID.fullmatch(id):
        raise InvalidInput("its id is not 32 lower-case hexadecimal digits")
    return Archived(
        line=number,
        id=id,
        version=int(value["version"]),
        state=State(value["state"]),
        branch=value.get("branch"),
        current=value["retired_seq"] is None,
        header=decode_header(value["header"]),
        payload=decode_payload(value["payload"]),
    )


def by_memory(versions: Iterator[Archived]) -> Iterator[list[Archived]]:
    """Group versions by their memory; one memory is held at a time."""
    group: list[Archived] = []
    for version in versions:
        if group and group[0].id != version.id:
            yield group
            group = []
        group.append(version)
    if group:
        yield group
