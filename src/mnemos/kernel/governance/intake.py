"""How much a source may write: caps per hour, a size for each memory, and quarantine on arrival.

A rule names what it is about (:class:`Source`): an origin, a source as headers name it, or a
principal. Several may bear on one memory; each must hold. Counting is part of the commit and lies
outside the chain; of a source's name only a hash is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from mnemos.errors import IntakeFull, InvalidInput
from mnemos.kernel import schema
from mnemos.kernel.canonical import encode_header, encode_json, encode_payload, microseconds
from mnemos.kernel.governance.rules import Rule
from mnemos.kernel.ports import WriteTx
from mnemos.kernel.tokens import term_hash
from mnemos.types import Draft, Origin

HOUR = 3_600_000_000
KEPT_HOURS = 24
"""Hours after which counts of a source are dropped."""

MOST = 2**53


@dataclass(frozen=True, kw_only=True, slots=True)
class Intake:
    """What a source may write.

    Parameters
    ----------
    memories_per_hour, bytes_per_hour : int or None
        Most within a clock hour; None is no limit.
    bytes_each : int or None
        Largest memory, header and payload together.
    quarantine : bool
        Whether what comes waits for approval.

    Raises
    ------
    InvalidInput
        If a limit is no whole number of 0 or more.
    """

    memories_per_hour: int | None = None
    bytes_per_hour: int | None = None
    bytes_each: int | None = None
    quarantine: bool = False

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name == "quarantine" or value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST:
                raise InvalidInput(
                    f"{item.name} is not allowed as given; give a whole number 0 to 2**53, or None"
                )

    def to_json(self) -> dict[str, Any]:
        """Return the fields that are set."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {
            name: value
            for name, value in values.items()
            if value is not None and value is not False
        }


def rule_name(
    *, origin: Origin | None = None, source: str | None = None, principal: str | None = None
) -> str:
    """Return the name of the rule about a source.

    >>> rule_name(origin=Origin.TOOL)
    'origin:tool'
    """
    if origin is not None:
        return f"origin:{origin.value}"
    return f"source:{source}" if source is not None else f"principal:{principal}"


def is_of_writer(name: str) -> bool:
    """Return whether a rule is about who writes, whatever the words come from."""
    return name.startswith("principal:")


def bearing(found: tuple[Rule, ...], draft: Draft, actor: str) -> list[tuple[str, Intake]]:
    """Return the rules that bear on a memory, the subject's own in place of the tenant's."""
    names = {
        rule_name(origin=draft.header.origin),
        rule_name(source=draft.header.source or ""),
        rule_name(principal=actor),
    }
    named = {rule.name: Intake(**rule.value) for rule in found if rule.name in names}
    return sorted(named.items())


def book(
    tx: WriteTx,
    tenant: str,
    subject: int,
    draft: Draft,
    rules: list[tuple[str, Intake]],
    now: datetime,
) -> None:
    """Count a memory against its caps.

    Raises
    ------
    IntakeFull
        If one of them is reached.
    """
    size = len(encode_json(encode_header(draft.header))) + len(
        encode_json(encode_payload(draft.payload))
    )
    hour = microseconds(now) // HOUR
    for name, cap in rules:
        what = name.partition(":")[0]
        if cap.bytes_each is not None and size > cap.bytes_each:
            raise IntakeFull(
                f"a memory of {size} bytes is larger than {cap.bytes_each}, the most this {what} "
                "may write at once; nothing was written: write it in parts, or raise the cap with "
                "set_intake"
            )
        key = (tenant, subject, term_hash(name))
        row = tx.get(schema.INTAKE, (*key, hour)) or schema.Intake(*key, hour, 0, 0)
        row = row._replace(memories=row.memories + 1, bytes=row.bytes + size)
        _check(row.memories, cap.memories_per_hour, "memories", what)
        _check(row.bytes, cap.bytes_per_hour, "bytes", what)
        for old in list(tx.scan(schema.INTAKE, key, stop=hour - KEPT_HOURS)):
            tx.delete(schema.INTAKE, old[:4])
        tx.put(schema.INTAKE, row)


def _check(count: int, most: int | None, unit: str, what: str) -> None:
    if most is not None and count > most:
        raise IntakeFull(
            f"this {what} may write {most} {unit} within an hour, and has; nothing was written: try "
            "again in the next hour, or raise the cap with set_intake"
        )
