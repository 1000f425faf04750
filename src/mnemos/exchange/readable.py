"""The archive of one subject for people to read: Markdown, what was said always quoted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import IO

from mnemos.exchange.archive import Progress
from mnemos.kernel.canonical import encode_header, encode_json, moment
from mnemos.kernel.copies.disclosure import Disclosure, Recorded
from mnemos.types import Activation, Payload, Text


def write_markdown(
    file: IO[bytes],
    found: Disclosure,
    *,
    exported_at: datetime,
    progress: Progress | None = None,
    mark: Callable[[str], str] | None = None,
) -> int:
    """Write everything about a subject as Markdown; return the number of paragraphs.

    The same things as in the archive, with binary payloads named and not shown. The parameters
    are those of :func:`mnemos.exchange.archive.write_archive`; ``mark`` puts a watermark into each
    paragraph.
    """
    written = 0
    for paragraph in _paragraphs(found, exported_at):
        marked = paragraph if mark is None else mark(paragraph)
        file.write(f"{marked}\n\n".encode())
        written += 1
        if progress is not None:
            progress(1)
    return written


def _paragraphs(found: Disclosure, exported_at: datetime) -> Iterator[str]:
    yield f"# Everything remembered of {_plain(found.subject)}"
    yield (
        f"Exported {_when(exported_at)} from tenant {_plain(found.tenant)}, journal position "
        f"{found.head.seq}, {len(found.cubes())} memories."
    )
    yield "## Memories"
    last = ""
    for version in found.versions():
        if version.id != last:
            yield f"### {version.id}"
            last = version.id
        yield _version(version)
    yield from _rest(found)
    yield "## Journal"
    for event in found.events():
        actor = _plain(found.actors.get(event.actor, ""))
        yield f"- {event.seq}. {_when(moment(event.at))}: {event.verb} {event.cube} by {actor}"


def _version(version: Recorded) -> str:
    line = f"on branch {_plain(version.branch)}, " if version.branch is not None else ""
    ended = f", until position {version.retired_seq}" if version.retired_seq is not None else ""
    parts = [
        f"Version {version.version}, {line}{version.state}: {version.verb} by "
        f"{_plain(version.actor)}, {_when(version.recorded_at)}, position "
        f"{version.recorded_seq}{ended}.",
        _quoted(_said(version.payload)),
    ]
    header = encode_header(version.header)
    if header:
        parts.append("\n".join(f"- {name}: {_value(value)}" for name, value in header.items()))
    return "\n\n".join(parts)


def _rest(found: Disclosure) -> Iterator[str]:
    """Yield what is known of branches, snapshots, policies and use, where there is any."""
    sections = {
        "Branches": [f"{_plain(row.name)}, since {row.fork}" for row in found.branches.values()],
        "Snapshots": [f"{_plain(row.name)}, position {row.at}" for row in found.snapshots()],
        "Policies": [f"{row.kind or 'all'}: {row.body.decode()}" for row in found.policies()],
        "Rules": [
            f"{row.sort} {_plain(row.name)}: {_value(json.loads(row.body))}"
            for row in found.rules()
        ],
        "Reads noted": [
            f"{event.seq}. {_when(moment(event.at))}: {_value(dict(value))}"
            for event, value in found.read_notes()
        ],
        "Reads counted": [
            f"day {row.day}: {_plain(row.principal)}, {row.call}, {row.calls} calls, "
            f"{row.memories} memories"
            for row in found.read_counts()
        ],
        "Use": [
            f"{id}: read {row.reads} times, last {_when(moment(row.last))}"
            for id, row in found.usage()
        ],
        "Work to be done": [f"{job.kind}, {job.state}" for job in found.jobs()],
        "Spent": [
            f"day {row.day}: {row.calls} calls, {row.tokens} tokens" for row in found.spent()
        ],
    }
    budget = found.budget()
    if budget is not None:
        sections["Budget"] = [str(dict(zip(budget._fields[2:], budget[2:], strict=True)))]
    for title, items in sections.items():
        if items:
            yield f"## {title}"
            yield "\n".join(f"- {item}" for item in items)


def _said(payload: Payload) -> str:
    if isinstance(payload, Text):
        return payload.text
    what = "activations" if isinstance(payload, Activation) else "parameters"
    return f"({len(payload.data)} bytes of {what}, {payload.encoding}; in the archive)"


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines() or [""])


def _plain(text: str | None) -> str:
    """Return a name on one line, set so that it cannot be read as anything else."""
    return "`" + " ".join((text or "").replace("`", "'").split()) + "`"


def _value(value: object) -> str:
    return _plain(value if isinstance(value, str) else encode_json(value).decode())


def _when(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
