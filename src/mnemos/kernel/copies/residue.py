"""Proof of an erasure: what to look for is collected before it, and looked for in every byte after.

A memory lies in a vault in many forms: its words, who said them, hashes in the word index, the
bytes of its vectors, salts. :func:`needles` collects them all, cut short enough that a page's end
hides few of them, each with the name of its form. :func:`scan` goes through every byte the store
keeps. What it finds counts unless a memory that is still there accounts for it: after the scan the
contents, index rows and vectors of the memories that remain are searched for what was found, and
so are the names this library gives its tables and values. A string they hold may lie in the files
because of them, so it proves nothing.

Needles are what was to be erased, so neither their text nor their bytes appear in findings, errors
or representations.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from mnemos.kernel import schema, segments, tokens
from mnemos.kernel.blobs import load_body
from mnemos.kernel.branches import RECORDS
from mnemos.kernel.canonical import Body, decode_content, encode_header
from mnemos.kernel.copies.byte_search import LEAST, ByteSearch
from mnemos.kernel.erasure import contents_of
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.ports import OVERLAP, Blobs, ReadTx, Store
from mnemos.kernel.postings import decode_terms
from mnemos.kernel.schema import TailRow
from mnemos.types import Kind, Origin, State, Text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CUT = 64
"""Bytes of one piece of something long."""

MOST_OF_ONE = 3
"""Places reported of one needle."""

DENSE, APART = 4096, 512
"""Of something longer than ``DENSE`` bytes a piece is looked for in every ``APART``: what an
erasure leaves behind it leaves in pages of several kilobytes, or whole."""

_GATHERED = 4 << 20
_BETWEEN = b"\xff" * 8
_WORD = re.compile(r"\w+")
_IDS = frozenset({"derived_from", "links"})
"""Header fields that hold ids of cubes, which the journal keeps."""


@dataclass(frozen=True, slots=True)
class Needle:
    """Bytes that must be gone after an erasure, and what form of the memory they are."""

    form: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """Where a needle was found: the place, the offset in it in bytes, the needle's form."""

    place: str
    offset: int
    form: str


class _Collected:
    """Needles by their bytes, so that each is looked for once."""

    def __init__(self) -> None:
        self.forms: dict[bytes, str] = {}

    def add(self, form: str, data: bytes) -> None:
        """Enter bytes whole if they are short enough, and in pieces."""
        for piece in _cut(data):
            if len(piece) >= LEAST and len(set(piece)) > 1:
                self.forms.setdefault(piece, form)

    def add_text(self, form: str, text: str) -> None:
        """Enter a text in the encodings in which it may have been written."""
        self.add(form, text.encode())
        quoted = json.dumps(text, ensure_ascii=False)[1:-1].encode()
        self.add("json", quoted)
        self.add("json", json.dumps(text)[1:-1].encode())
        self.add("utf-16-le", text.encode("utf-16-le"))
        self.add("utf-16-be", text.encode("utf-16-be"))

    def add_words(self, text: str) -> None:
        """Enter the words of a text as written, folded and stemmed."""
        for form, found in (
            ("word", _WORD.findall(text)),
            ("folded word", tokens.words(text)),
            ("stemmed word", tokens.terms(text)),
        ):
            for word in found:
                self.add(form, word.encode())


def _cut(data: bytes) -> Iterator[bytes]:
    if len(data) <= OVERLAP:
        yield data
    if len(data) > CUT:
        for start in range(0, len(data) - CUT, CUT if len(data) <= DENSE else APART):
            yield data[start : start + CUT]
        yield data[-CUT:]


def needles(tx: ReadTx, blobs: Blobs, tenant: str, ids: Sequence[str]) -> tuple[Needle, ...]:
    """Return what must be found nowhere once some cubes are forgotten; collect it before.

    Words of fewer than six bytes are left out: they occur by chance in the bytes of vectors.

    Parameters
    ----------
    tx : ReadTx
        A snapshot in which the cubes are there.
    blobs : Blobs
        Where large payloads lie.
    tenant : str
        Whose cubes.
    ids : sequence of str
        Everything that will go, derived memories included.
    """
    found = _Collected()
    births: dict[segments.PageKey, set[int]] = {}
    cubes: dict[int, set[int]] = {}
    for id in ids:
        row = tx.get(schema.IDS, (tenant, id))
        if row is None:
            continue
        cubes.setdefault(row.subject, set()).add(row.cube)
        for content in contents_of(tx, tenant, id):
            body = load_body(tx, blobs, tenant, content.seq)
            blob = decode_content(content.body).blob
            assert body is not None
            found.add("salt", content.salt)
            if blob is not None:
                found.add("blob name", blob.encode())
            _collect_body(found, body)
        for version in tx.scan(schema.VERSIONS, (tenant, row.cube)):
            births.setdefault((tenant, row.subject, version.branch), set()).add(version.born)
    for key, wanted in births.items():
        _collect_rows(tx, key, wanted, found)
    for subject, gone in cubes.items():
        _collect_subject(tx, tenant, subject, gone, found)
    return tuple(Needle(form, data) for data, form in found.forms.items())


def _collect_body(found: _Collected, body: Body) -> None:
    if isinstance(body.payload, Text):
        found.add_text("text", body.payload.text)
        found.add_words(body.payload.text)
    elif body.payload is not None:
        found.add("payload", body.payload.data)
    for name, value in encode_header(body.header).items():
        if name not in _IDS:
            for text in _strings(value):
                found.add_text("name", text)
                found.add_words(text)


def _strings(value: object) -> Iterator[str]:
    """Yield every string of a JSON value, the keys of its mappings included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in cast("Mapping[str, object]", value).items():
            yield key
            yield from _strings(item)
    elif isinstance(value, (list, tuple)):
        for item in cast("Sequence[object]", value):
            yield from _strings(item)


def _collect_rows(tx: ReadTx, key: segments.PageKey, wanted: set[int], found: _Collected) -> None:
    page = tx.get(schema.PAGES, key)
    if page is None:
        return
    for row in segments.page_rows(tx, key):
        if row.born in wanted:
            for form in _hashes(row):
                found.add("hash", form)
    for space in tx.scan(schema.SPACES, ()):
        for born, data in _vectors(tx, page, space.space):
            if born in wanted:
                found.add("float32", data)
                for form in _quantised(data):
                    found.add("int8", form)


def _hashes(row: TailRow) -> Iterator[bytes]:
    """Yield a row's hashes as arrays hold them, and those in columns as SQLite writes them too."""
    columns = [value for value in (row.session, row.agent, row.speaker) if value]
    for value in (*columns, *decode_terms(row.terms)):
        yield value.to_bytes(8, "little", signed=True)
    for value in columns:
        yield value.to_bytes(8, "big", signed=True)


def _vectors(tx: ReadTx, page: schema.Page, space: int) -> Iterator[tuple[int, bytes]]:
    """Yield the births and vectors of a page, wherever they lie; erased rows are zeros."""
    key = page[:3]
    for row in tx.scan(schema.VECTORS, (*key, space)):
        yield row.born, row.bytes
    for table in (schema.SEGMENTS, schema.HISTORY):
        for parts in segments.grouped(tx, key, table):
            for part in parts:
                if part.encoding == f"f32:{space}":
                    width = len(part.bytes) // part.n
                    for place, born in enumerate(segments.births_of(parts).tolist()):
                        yield born, part.bytes[place * width : (place + 1) * width]


def _quantised(data: bytes) -> Iterator[bytes]:
    """Yield a vector in the usual codes of a byte a number: scaled by 127, and to its largest."""
    import numpy as np

    vector: NDArray[np.float32] = np.frombuffer(data, "<f4")
    largest = float(np.abs(vector).max(initial=0.0))
    for scale in (1.0, largest) if largest else ():
        yield np.clip(np.rint(vector * (127 / scale)), -127, 127).astype(np.int8).tobytes()


def _collect_subject(
    tx: ReadTx, tenant: str, subject: int, gone: set[int], found: _Collected
) -> None:
    """Enter the subject's own name and its records, where nothing of it will remain."""
    key = (tenant, subject)
    if any(row.cube not in gone for row in tx.scan(schema.VERSIONS, key, index="deaths")):
        return
    row = tx.get(schema.SUBJECTS, key)
    if row is not None:
        found.add_text("name", row.name)
    for record in tx.scan(schema.RECORDS, key):
        content = tx.get(schema.CONTENTS, (tenant, record.seq))
        if content is not None:
            found.add("salt", content.salt)
            for text in _strings(decode_content(content.body).record):
                found.add_text("name", text)


# ------------------------------------------------------------------------------- looking


def occurrences(store: Store, wanted: Sequence[Needle]) -> list[tuple[int, Finding]]:
    """Return where needles lie in the bytes of a store, whoever accounts for them.

    Each is reported at most ``MOST_OF_ONE`` times, with its number in ``wanted``.
    """
    search = ByteSearch([needle.data for needle in wanted], most=MOST_OF_ONE)
    found: list[tuple[int, Finding]] = []
    place, offset, size = "", 0, 0
    for name, piece in store.images():
        offset = offset + size - OVERLAP if name == place else 0
        place, size = name, len(piece)
        again = OVERLAP if offset else 0
        for number, at in search.find(piece):
            if at + len(wanted[number].data) > again:  # else it was whole in the piece before
                found.append((number, Finding(place, offset + at, wanted[number].form)))
    return found


def scan(store: Store, wanted: Sequence[Needle]) -> list[Finding]:
    """Return where something erased is left in a store; an empty list if it is nowhere.

    What memories that are still there account for is left out: see the module's text.
    """
    found = occurrences(store, wanted)
    numbers = sorted({number for number, _ in found})
    if not numbers:
        return []
    chosen = [wanted[number] for number in numbers]
    with store.read(SYSTEM) as tx:
        forms = {needle.form for needle in chosen}
        search = ByteSearch([needle.data for needle in chosen], most=1)
        kept = {
            numbers[number]
            for data in _gathered(_remaining(tx, store.blobs, forms))
            for number, _ in search.find(data)
        }
    return [finding for number, finding in found if number not in kept]


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Join short pieces, with something between them that no needle holds."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size > _GATHERED:
            yield _BETWEEN.join(held)
            held, size = [], 0
    yield _BETWEEN.join(held)


def _remaining(tx: ReadTx, blobs: Blobs, forms: set[str]) -> Iterator[bytes]:
    """Yield the bytes for which the memories that are there, and this library, account."""
    yield from _OURS
    for head in tx.scan(schema.HEADS, ()):
        yield head.tenant.encode()
    for actor in tx.scan(schema.ACTORS, ()):
        yield actor.name.encode()
    for space in tx.scan(schema.SPACES, ()):
        yield space.fingerprint.encode()
    for row in tx.scan(schema.META, ()):
        yield f"{row.name} {row.value}".encode()
    named = {(row.tenant, row.content): row.name for row in tx.scan(schema.BLOBS, ())}
    for key in sorted(_named(tx)):
        content = tx.get(schema.CONTENTS, key)
        if content is not None:
            yield content.salt
            yield content.body
            if key in named:
                yield named[key].encode()
                yield blobs.get(named[key]) or b""
    if forms & {"hash", "float32", "int8"}:
        for page in tx.scan(schema.PAGES, ()):
            yield from _remaining_rows(tx, page, forms)


def _named(tx: ReadTx) -> set[tuple[str, int]]:
    """Return the contents that versions and records of what is still there name."""
    found = {(row.tenant, row.content) for row in tx.scan(schema.VERSIONS, ())}
    return found | {(row.tenant, row.seq) for row in tx.scan(schema.RECORDS, ())}


def _remaining_rows(tx: ReadTx, page: schema.Page, forms: set[str]) -> Iterator[bytes]:
    alive = {row.born for row in tx.scan(schema.VERSIONS, page[:2], index="deaths")}
    if "hash" in forms:
        for row in segments.page_rows(tx, page[:3]):
            if row.born in alive:
                yield from _hashes(row)
    for space in tx.scan(schema.SPACES, ()) if forms & {"float32", "int8"} else ():
        for born, data in _vectors(tx, page, space.space):
            if born in alive:
                yield data
                yield from _quantised(data) if "int8" in forms else ()


_SQL = "CREATE TABLE INTEGER NOT NULL PRIMARY WITHOUT ROWID SQLite format sqlite_autoindex_"
_OURS: tuple[bytes, ...] = tuple(
    word.encode()
    for word in (
        _SQL,
        *(f"{table.name} {' '.join(table.row._fields)}" for table in schema.TABLES),
        *(f"{table.name}_{index}" for table in schema.TABLES for index in table.indexes),
        *(cast("Any", item).value for group in (State, Kind, Origin) for item in group),
        *RECORDS,
        "update state adopt withdraw forget active building pending leased",
    )
)
"""Names the vault's own form is written in; memories that say them prove nothing by that."""
