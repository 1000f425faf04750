"""Memories, hits and receipts as JSON values and as lines for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from typing import Any

from mnemos.cli import output
from mnemos.types import (
    TRUSTED,
    Context,
    Hit,
    Hits,
    Link,
    MemCube,
    Origin,
    Place,
    Reason,
    Receipt,
    State,
    Text,
    Trace,
)

BAR = 12


def iso(moment: datetime | None) -> str | None:
    """Return a moment as ISO 8601 text."""
    return None if moment is None else moment.isoformat()


def cube_document(cube: MemCube) -> dict[str, Any]:
    """Return a memory as a JSON value; what nobody set is left out."""
    header = cube.header
    document: dict[str, Any] = {
        "id": cube.id,
        "text": cube.text,
        "kind": header.kind,
        "subject": cube.scope.subject,
        "state": cube.state,
        "version": cube.version,
        "recorded_at": iso(cube.recorded_at),
        "recorded_seq": cube.recorded_seq,
    }
    if not isinstance(cube.payload, Text):
        document["payload"] = {
            "type": type(cube.payload).__name__.lower(),
            "encoding": cube.payload.encoding,
            "bytes": len(cube.payload.data),
        }
    given = {
        "happened_at": iso(header.happened_at),
        "speaker": header.speaker,
        "role": header.role,
        "run": header.run_id,
        "agent": header.agent_id,
        "external_id": header.external_id,
        "source": header.source,
        "caption": header.caption,
        "language": header.language,
        "tags": list(header.tags),
        "mentions": [
            {"text": item.text, "start": iso(item.start), "end": iso(item.end)}
            for item in header.mentions
        ],
        "metadata": dict(header.metadata),
        "expires_at": iso(header.expires_at),
        "valid_from": iso(header.valid_from),
        "valid_to": iso(header.valid_to),
        "entities": list(header.entities),
        "derived_from": list(header.derived_from),
        "links": [link_document(link) for link in header.links],
        "method": header.method,
        "model": header.model,
        "origin": None if header.origin is Origin.USER else header.origin,
        "owner": header.owner,
        "access": list(header.access),
        "approved_by": header.approved_by,
        "sensitivity": header.sensitivity,
        "sealed": [token for token, _ in header.sealed],
        "frozen": header.frozen,
        "hold": header.hold,
    }
    if header.counted_trust != 1:  # which may be 0, and that says the most
        document["trust"] = header.counted_trust
    return document | {name: value for name, value in given.items() if value}


def link_document(link: Link) -> dict[str, Any]:
    """Return an edge to another memory as a JSON value; what nobody set is left out."""
    document: dict[str, Any] = {"type": link.type, "target": link.target}
    given = {
        "weight": None if link.weight == 1 else link.weight,
        "valid_from": iso(link.valid_from),
        "valid_to": iso(link.valid_to),
    }
    return document | {name: value for name, value in given.items() if value is not None}


def _reason_document(reason: Reason) -> dict[str, Any]:
    return {
        "signal": reason.signal,
        "rank": reason.rank,
        "value": reason.value,
        "share": round(reason.share, 4),
        "matched": reason.detail.split(),
    }


def hit_document(hit: Hit) -> dict[str, Any]:
    """Return a hit as a JSON value."""
    return {
        "score": round(hit.score, 6),
        "memory": cube_document(hit.cube),
        "why": [_reason_document(reason) for reason in hit.why],
    }


def trace_document(trace: Trace) -> dict[str, Any]:
    """Return what an operation did as a JSON value."""
    return {
        "ranker": trace.ranker,
        "embedder": trace.embedder,
        "reranker": trace.reranker,
        "notes": list(trace.notes),
        "steps": [{"name": step.name, "ms": step.ms, **step.counts} for step in trace.steps],
    }


def hits_document(query: str, hits: Hits) -> dict[str, Any]:
    """Return an answered search as a JSON value."""
    return {
        "query": query,
        "hits": [hit_document(hit) for hit in hits],
        "answerable": hits.answerable,
        "tainted": hits.tainted,
        "max_trust": hits.max_trust,
        "trace": trace_document(hits.trace),
    }


def context_document(query: str, context: Context) -> dict[str, Any]:
    """Return a packed context as a JSON value."""
    return {
        "query": query,
        "text": context.text,
        "tokens": context.tokens,
        "budget": context.budget,
        "citations": [{"label": item.label, "id": item.id} for item in context.citations],
        "tainted": context.tainted,
        "max_trust": context.max_trust,
        "trace": trace_document(context.trace),
    }


def receipt_document(receipt: Receipt) -> dict[str, Any]:
    """Return a receipt as a JSON value."""
    document: dict[str, Any] = {
        "verb": receipt.verb,
        "ids": list(receipt.ids),
        "seq": receipt.seq,
        "before": receipt.before,
        "indexed": receipt.indexed,
        "duplicates": receipt.duplicates,
    }
    given = {
        "suppressed": receipt.suppressed,
        "forgotten": list(receipt.forgotten),
        "restored": list(receipt.restored),
        "sources": list(receipt.sources),
        "places": [
            {"name": place.name, "status": place.status, "why": place.why}
            for place in receipt.places
        ],
    }
    return document | {name: value for name, value in given.items() if value}


def place_table(places: Sequence[Place]) -> str:
    """Return as a table what became of every place an erased memory lay in."""
    rows = [
        (item.name, f"{item.status}: {item.why}" if item.why else item.status) for item in places
    ]
    return output.table(rows, ("place", "status"))


def speaker(cube: MemCube) -> str:
    """Return who said it, as far as it is known."""
    return output.one_line(output.clean(cube.header.speaker or cube.header.role or ""))


def words(cube: MemCube) -> str:
    """Return a memory's words with its picture's caption, or what it holds in their place."""
    if not isinstance(cube.payload, Text):
        return f"({type(cube.payload).__name__.lower()}, {output.size(len(cube.payload.data))})"
    caption = f" [picture: {cube.header.caption}]" if cube.header.caption else ""
    return f"{cube.text}{caption}"


def standing(cube: MemCube) -> str:
    """Return a memory's state and its locks."""
    locks = (("frozen", cube.header.frozen), ("under legal hold", cube.header.hold))
    return ", ".join([cube.state, *(name for name, is_set in locks if is_set)])


def trust(cube: MemCube) -> str:
    """Return how far a memory is trusted and why, where it is not the user's own words."""
    header = cube.header
    if header.counted_trust == 1 and header.origin is Origin.USER:
        return ""
    quoted = "" if header.counted_trust >= TRUSTED else ": quoted as data"
    return f"{header.counted_trust:g}, from {header.origin}{quoted}"


def _marks(cube: MemCube) -> str:
    """Return what is unusual about a memory's trust, to stand behind its id in a table."""
    header = cube.header
    given = {
        "trust": f"{header.counted_trust:g}" if header.counted_trust != 1 else None,
        "by": header.owner,
        "approved by": header.approved_by,
        "label": header.sensitivity,
    }
    marks = [output.clean(f"{name} {value}") for name, value in given.items() if value]
    marks += ["in quarantine"] if cube.state is State.QUARANTINED else []
    return ", ".join(marks)


def _id_lines(cube: MemCube, width: int) -> list[str]:
    """Return the lines that say which memory it is, and what is unusual about its trust."""
    marks = _marks(cube)
    line = f"id {cube.id}  {marks}".rstrip()
    if output.cells(line) <= width:
        return [line]
    return [f"id {cube.id}", *(f"   {part}" for part in output.wrap(marks, width - 3))]


def memory_card(cube: MemCube, zone: tzinfo) -> str:
    """Return everything known about a memory as names and values, its words last."""
    header = cube.header
    values: list[tuple[str, object]] = [
        ("id", cube.id),
        ("external id", header.external_id),
        ("kind", header.kind),
        ("of", cube.scope.subject),
        ("written by", header.owner),
        ("speaker", speaker(cube)),
        ("run", header.run_id),
        ("agent", header.agent_id),
        ("happened", output.when(header.happened_at, zone)),
        ("recorded", f"{output.when(cube.recorded_at, zone)}  #{cube.recorded_seq}"),
        ("version", f"{cube.version}, {standing(cube)}"),
        ("trust", trust(cube)),
        ("approved by", header.approved_by),
        ("label", header.sensitivity),
        ("may read", ", ".join(header.access)),
        ("sealed", ", ".join(token for token, _ in header.sealed)),
        ("true from", output.when(header.valid_from, zone)),
        ("true until", output.when(header.valid_to, zone)),
        ("expires", output.when(header.expires_at, zone)),
        ("tags", ", ".join(header.tags)),
        ("source", header.source),
        *(("derived from", source) for source in header.derived_from),
        *(("link", f"{link.type} {link.target}") for link in header.links),
        ("metadata", json.dumps(dict(header.metadata)) if header.metadata else ""),
        *(
            ("means", f"{item.text}: from {output.when(item.start, zone)}")
            for item in header.mentions
        ),
    ]
    shown = [(name, output.clean(str(value)) if value else None) for name, value in values]
    text = "\n".join(output.wrap(words(cube), output.columns() - 14))
    return output.pairs([*shown, ("text", text)])


def reason_lines(hit: Hit, width: int) -> Iterator[str]:
    """Yield one line per reason: signal, bar, share, rank in the signal's list, matched words."""
    room = max(12, width - BAR - 26)
    largest = max((reason.share for reason in hit.why), default=1.0)
    for reason in hit.why:
        filled = output.bar(reason.share / largest, BAR)
        matched = output.wrap(", ".join(reason.detail.split()), room, 1)[0]
        yield (
            f"{reason.signal:<14} {filled} {reason.share:>4.0%}  #{reason.rank:<3}  {matched}"
        ).rstrip()


def reason_line(hit: Hit) -> str:
    """Return the reasons in one line, strongest first, each with a bar of up to two columns."""
    largest = max((reason.share for reason in hit.why), default=1.0)
    return "  ".join(
        f"{reason.signal} {output.bar(reason.share / largest, 2).rstrip() or '▏'}"
        for reason in hit.why
    )


def matched_words(hit: Hit) -> str:
    """Return the words of the question that a hit holds, as spelled in the index."""
    found = [word for reason in hit.why for word in reason.detail.split()]
    return output.clean(", ".join(dict.fromkeys(found)))


def memory_table(cubes: list[MemCube], zone: tzinfo) -> str:
    """Return memories as a table: when, who, the words and the id."""
    whens = [output.when(cube.header.happened_at or cube.recorded_at, zone) for cube in cubes]
    whos = [speaker(cube)[:16] for cube in cubes]
    taken = max(map(len, whens), default=0) + max(map(output.cells, whos), default=0) + 10
    width = max(34, output.columns() - taken)
    rows = [
        (moment, who, "\n".join([*output.wrap(words(cube), width, 3), *_id_lines(cube, width)]))
        for moment, who, cube in zip(whens, whos, cubes, strict=True)
    ]
    return output.table(rows, ("when", "who", "memory"))


def hit_table(hits: Hits, zone: tzinfo, *, why: bool) -> str:
    """Return hits as a table, with bars for the reasons where they are wanted."""
    whos = [speaker(hit.cube)[:16] for hit in hits]
    taken = 4 + 18 + max([3, *map(output.cells, whos)]) + 6
    width = max(34, output.columns() - taken)
    rows: list[tuple[str, str, str, str]] = []
    for number, (hit, who) in enumerate(zip(hits, whos, strict=True), start=1):
        lines = [*output.wrap(words(hit.cube), width, 4), *_id_lines(hit.cube, width)]
        if why:
            lines += reason_lines(hit, width)
        moment = output.when(hit.cube.header.happened_at or hit.cube.recorded_at, zone)
        rows.append((str(number), moment, who, "\n".join(lines)))
    return output.table(rows, ("#", "when", "who", "memory"))
